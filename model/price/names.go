package price

import (
	"regexp"
	"strings"
)

// providerNames are the names under which a provider's prices may stand, its own
// first. They cover the differences between our names and the catalog's source.
func providerNames(provider string) []string {
	p := strings.ToLower(provider)
	switch p {
	case "":
		return nil
	case "bedrock":
		return []string{"bedrock", "bedrock_converse"}
	case "gemini", "google":
		return []string{"gemini", "google"}
	case "vertex", "vertex_ai":
		return []string{"vertex_ai", "vertex"}
	case "qwen", "dashscope", "alibaba":
		return []string{"dashscope", "qwen"}
	case "zhipu", "zai", "bigmodel":
		return []string{"zai", "zhipu"}
	case "moonshot", "kimi":
		return []string{"moonshot"}
	case "together", "together_ai":
		return []string{"together_ai", "together"}
	case "fireworks", "fireworks_ai":
		return []string{"fireworks_ai", "fireworks"}
	case "azure", "azure_openai":
		return []string{"azure", "azure_ai", "azure_text"}
	case "xai", "grok":
		return []string{"xai"}
	case "openai":
		return []string{"openai", "text-completion-openai"}
	case "cohere":
		return []string{"cohere", "cohere_chat"}
	}
	return []string{p}
}

// makers are the providers that sell their own models. When no provider is
// named, a maker's price is taken before a reseller's.
var makers = map[string]int{
	"openai": 1, "anthropic": 1, "gemini": 2, "deepseek": 1, "xai": 1, "mistral": 1, "cohere": 1,
	"cohere_chat": 1, "perplexity": 1, "dashscope": 1, "moonshot": 1, "zai": 1, "minimax": 1, "voyage": 1,
	"ai21": 1, "groq": 3, "vertex_ai": 4, "bedrock": 4, "bedrock_converse": 4, "azure": 5,
}

func rank(k string) int {
	p, _, _ := strings.Cut(k, "/")
	if p == "local" || p == "" {
		return 0
	}
	if r, ok := makers[p]; ok {
		return r
	}
	return 9
}

// dated ends of model names: -2024-07-18, -20240718, @20240718, -0613, -latest.
var datedEnd = regexp.MustCompile(`(?:[-@](?:\d{4}-\d{2}-\d{2}|\d{8}|\d{6}|\d{4})|[-:]latest|-preview-\d{2}-\d{2}|-v\d+:\d+)$`)

// region is the cross-region prefix of Bedrock's inference profiles.
var region = regexp.MustCompile(`^(?:us|eu|apac|jp|au|ca|global|us-gov)\.`)

// aliases lists the names to try for a model, the name itself first.
func aliases(provider, model string) []string {
	names := []string{model}
	add := func(n string) {
		if n == "" {
			return
		}
		for _, have := range names {
			if have == n {
				return
			}
		}
		names = append(names, n)
	}
	add(strings.TrimPrefix(model, provider+"/"))
	add(strings.TrimPrefix(model, "models/"))
	if r := region.ReplaceAllString(model, ""); r != model {
		add(r)
	}
	for _, n := range names {
		bare := datedEnd.ReplaceAllString(n, "")
		add(bare)
	}
	add(model + "-latest")
	return names
}
