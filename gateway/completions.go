package gateway

import (
	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/wire/openai"
)

// POST /v1/completions, streamed or whole.
var completions = operation{op: model.OpComplete, wire: model.WireOpenAICompletions, decode: openai.DecodeCompletion}
