package gateway

import (
	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/wire/openai"
)

// POST /v1/embeddings, always whole.
var embeddings = operation{op: model.OpEmbed, wire: model.WireOpenAIEmbeddings, decode: openai.DecodeEmbedding}
