package gateway

import (
	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/wire/openai"
)

// POST /v1/chat/completions, streamed or whole.
var chatCompletions = operation{op: model.OpChat, wire: model.WireOpenAIChat, decode: openai.DecodeChat}
