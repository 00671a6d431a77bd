package openai

import (
	"net/url"
	"strings"

	wire "github.com/stratahq/strata/model/wire/openai"
)

// Dialect says how one provider's server differs from OpenAI's. Each row was
// read from the provider's own documentation, named in Source, in November 2026.
type Dialect struct {
	// Name is the dialect, and for a hosted provider the price book's name too.
	Name string
	// BaseURL is the address in front of /chat/completions; "" when every
	// customer has one of their own.
	BaseURL string
	// Env are the environment variables that hold the key, the usual one first.
	Env []string
	// KeyHeader carries the key; "" means "Authorization: Bearer …".
	KeyHeader string
	// Limit is the field of the output limit for chat.
	Limit string
	// AskUsage says that stream_options.include_usage is understood. Where it is
	// not, the field is taken out of requests: these servers state the usage of
	// a stream without being asked, or refuse fields that they do not know.
	AskUsage bool
	// Local marks a server that a user runs: it needs no key, and its prices are
	// the user's own.
	Local bool
	// Source is the documentation of the row.
	Source string
}

// Generic is the dialect of a server that no row names.
var Generic = Dialect{Name: "compatible", Limit: wire.LimitMaxTokens, AskUsage: true, Local: true,
	Source: "platform.openai.com/docs/api-reference/chat"}

// dialects is the table, by name.
var dialects = []Dialect{
	{Name: "openai", BaseURL: "https://api.openai.com/v1", Env: []string{"OPENAI_API_KEY"},
		Limit: wire.LimitMaxCompletionTokens, AskUsage: true, Source: "platform.openai.com/docs/api-reference/chat/create"},
	{Name: "azure", Env: []string{"AZURE_OPENAI_API_KEY"}, KeyHeader: "api-key",
		Limit: wire.LimitMaxCompletionTokens, AskUsage: true, Source: "learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle (the v1 API)"},
	{Name: "deepseek", BaseURL: "https://api.deepseek.com/v1", Env: []string{"DEEPSEEK_API_KEY"},
		Limit: wire.LimitMaxTokens, AskUsage: true, Source: "api-docs.deepseek.com/api/create-chat-completion"},
	{Name: "qwen", BaseURL: "https://dashscope.aliyuncs.com/compatible-mode/v1", Env: []string{"DASHSCOPE_API_KEY"},
		Limit: wire.LimitMaxTokens, AskUsage: true, Source: "help.aliyun.com/zh/model-studio/compatibility-of-openai-with-dashscope"},
	{Name: "moonshot", BaseURL: "https://api.moonshot.cn/v1", Env: []string{"MOONSHOT_API_KEY"},
		Limit: wire.LimitMaxTokens, AskUsage: true, Source: "platform.moonshot.cn/docs/api/chat"},
	{Name: "zhipu", BaseURL: "https://open.bigmodel.cn/api/paas/v4", Env: []string{"ZHIPUAI_API_KEY", "ZAI_API_KEY"},
		Limit: wire.LimitMaxTokens, AskUsage: false, Source: "docs.bigmodel.cn/api-reference (usage is in the last chunk)"},
	{Name: "mistral", BaseURL: "https://api.mistral.ai/v1", Env: []string{"MISTRAL_API_KEY"},
		Limit: wire.LimitMaxTokens, AskUsage: false, Source: "docs.mistral.ai/api (usage is in the last chunk; unknown fields are refused)"},
	{Name: "groq", BaseURL: "https://api.groq.com/openai/v1", Env: []string{"GROQ_API_KEY"},
		Limit: wire.LimitMaxCompletionTokens, AskUsage: true, Source: "console.groq.com/docs/api-reference"},
	{Name: "together", BaseURL: "https://api.together.xyz/v1", Env: []string{"TOGETHER_API_KEY"},
		Limit: wire.LimitMaxTokens, AskUsage: true, Source: "docs.together.ai/reference/chat-completions"},
	{Name: "fireworks", BaseURL: "https://api.fireworks.ai/inference/v1", Env: []string{"FIREWORKS_API_KEY"},
		Limit: wire.LimitMaxTokens, AskUsage: true, Source: "docs.fireworks.ai/api-reference/post-chatcompletions"},
	{Name: "xai", BaseURL: "https://api.x.ai/v1", Env: []string{"XAI_API_KEY"},
		Limit: wire.LimitMaxCompletionTokens, AskUsage: true, Source: "docs.x.ai/docs/api-reference"},
	{Name: "openrouter", BaseURL: "https://openrouter.ai/api/v1", Env: []string{"OPENROUTER_API_KEY"},
		Limit: wire.LimitMaxTokens, AskUsage: true, Source: "openrouter.ai/docs/api-reference/overview"},
	{Name: "perplexity", BaseURL: "https://api.perplexity.ai", Env: []string{"PERPLEXITY_API_KEY"},
		Limit: wire.LimitMaxTokens, AskUsage: false, Source: "docs.perplexity.ai/api-reference/chat-completions-post (usage is in every chunk)"},
	{Name: "nvidia", BaseURL: "https://integrate.api.nvidia.com/v1", Env: []string{"NVIDIA_API_KEY"},
		Limit: wire.LimitMaxTokens, AskUsage: true, Source: "docs.api.nvidia.com/nim/reference"},
	{Name: "huggingface", BaseURL: "https://router.huggingface.co/v1", Env: []string{"HF_TOKEN"},
		Limit: wire.LimitMaxTokens, AskUsage: true, Source: "huggingface.co/docs/inference-providers/tasks/chat-completion"},
	{Name: "cerebras", BaseURL: "https://api.cerebras.ai/v1", Env: []string{"CEREBRAS_API_KEY"},
		Limit: wire.LimitMaxCompletionTokens, AskUsage: true, Source: "inference-docs.cerebras.ai/api-reference/chat-completions"},
	{Name: "deepinfra", BaseURL: "https://api.deepinfra.com/v1/openai", Env: []string{"DEEPINFRA_API_KEY", "DEEPINFRA_TOKEN"},
		Limit: wire.LimitMaxTokens, AskUsage: true, Source: "deepinfra.com/docs/openai_api"},
	{Name: "siliconflow", BaseURL: "https://api.siliconflow.cn/v1", Env: []string{"SILICONFLOW_API_KEY"},
		Limit: wire.LimitMaxTokens, AskUsage: true, Source: "docs.siliconflow.cn/api-reference/chat-completions"},
	{Name: "volcengine", BaseURL: "https://ark.cn-beijing.volces.com/api/v3", Env: []string{"ARK_API_KEY"},
		Limit: wire.LimitMaxTokens, AskUsage: true, Source: "volcengine.com/docs/82379 (Ark chat API)"},
	{Name: "vllm", BaseURL: "http://127.0.0.1:8000/v1", Env: []string{"VLLM_API_KEY"}, Local: true,
		Limit: wire.LimitMaxTokens, AskUsage: true, Source: "docs.vllm.ai/en/latest/serving/openai_compatible_server.html"},
	{Name: "sglang", BaseURL: "http://127.0.0.1:30000/v1", Env: []string{"SGLANG_API_KEY"}, Local: true,
		Limit: wire.LimitMaxTokens, AskUsage: true, Source: "docs.sglang.ai/basic_usage/openai_api.html"},
	{Name: "ollama", BaseURL: "http://127.0.0.1:11434/v1", Env: nil, Local: true,
		Limit: wire.LimitMaxTokens, AskUsage: true, Source: "github.com/ollama/ollama/blob/main/docs/openai.md"},
	{Name: "llama-server", BaseURL: "http://127.0.0.1:8080/v1", Env: []string{"LLAMA_API_KEY"}, Local: true,
		Limit: wire.LimitMaxTokens, AskUsage: true, Source: "github.com/ggml-org/llama.cpp/tree/master/tools/server"},
}

// Dialects is the table of dialects, hosted providers first. The caller must not
// change it.
func Dialects() []Dialect { return dialects }

// FindDialect finds a row by name.
func FindDialect(name string) (Dialect, bool) {
	if name == Generic.Name {
		return Generic, true
	}
	for i := range dialects {
		if dialects[i].Name == name {
			return dialects[i], true
		}
	}
	return Dialect{}, false
}

// dialectOf chooses the row for an upstream: the one that its configuration
// names; the one whose host its address has; the one that has its name, when no
// address is given; and otherwise the generic one.
func dialectOf(name string, c *Config) (Dialect, bool) {
	if c.Dialect != "" {
		return FindDialect(c.Dialect)
	}
	if c.BaseURL == "" {
		return FindDialect(name)
	}
	if u, err := url.Parse(c.BaseURL); err == nil && u.Hostname() != "" {
		for i := range dialects {
			have, err := url.Parse(dialects[i].BaseURL)
			if err == nil && !dialects[i].Local && strings.EqualFold(have.Hostname(), u.Hostname()) {
				return dialects[i], true
			}
		}
		if strings.HasSuffix(strings.ToLower(u.Hostname()), ".openai.azure.com") {
			return FindDialect("azure")
		}
	}
	if d, ok := FindDialect(name); ok && d.Local {
		return d, true // a server of this kind at another address
	}
	return Generic, true
}

// KnownProvider is a hosted provider that a key in the environment configures.
type KnownProvider struct {
	// Name is the upstream's name and dialect, such as "deepseek".
	Name string
	// Env are the environment variables that may hold its key, in order.
	Env []string
}

// Known lists the providers whose key alone configures them: those with an
// address of their own.
func Known() []KnownProvider {
	var list []KnownProvider
	for i := range dialects {
		if d := &dialects[i]; d.BaseURL != "" && !d.Local {
			list = append(list, KnownProvider{d.Name, d.Env})
		}
	}
	return list
}
