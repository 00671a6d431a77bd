package openai

import (
	"net/url"
	"strings"

	wire "github.com/stratahq/strata/model/wire/openai"
)

// Dialect says how one provider's server differs from OpenAI's. No row was tried
// against a live hosted server. Rows were compared with stored copies of
// documentation, of the providers' own client libraries and of public reports:
// Source says which and what they showed, Unverified what they did not show.
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
	// Source names what the row was compared with, and what was found there.
	Source string
	// Unverified lists the fields of the row for which no source of the
	// provider's own was found, by field name; "" when there are none. Such
	// values are from memory or from others' code, and configuration can
	// overrule each of them.
	Unverified string
}

// Generic is the dialect of a server that no row names.
var Generic = Dialect{Name: "compatible", Limit: wire.LimitMaxTokens, AskUsage: true, Local: true,
	Source: "none: what a server of this wire most likely understands", Unverified: "Limit, AskUsage"}

// dialects is the table, by name. "SDK" is the provider's own client library, by
// repository and commit; a date is that of the commit.
var dialects = []Dialect{
	{Name: "openai", BaseURL: "https://api.openai.com/v1", Env: []string{"OPENAI_API_KEY"},
		Limit: wire.LimitMaxCompletionTokens, AskUsage: true,
		Source: "SDK openai/openai-go v3.96.0 and openai/openai-python e43b4224 (2026-08-21): address, variable, max_tokens deprecated for max_completion_tokens, include_usage"},
	{Name: "azure", Env: []string{"AZURE_OPENAI_API_KEY"}, KeyHeader: "api-key",
		Limit: wire.LimitMaxCompletionTokens, AskUsage: true,
		Source:     "SDK openai/openai-python e43b4224 (2026-08-21), lib/azure.py: variable, api-key header",
		Unverified: "Limit, AskUsage"},
	{Name: "deepseek", BaseURL: "https://api.deepseek.com/v1", Env: []string{"DEEPSEEK_API_KEY"},
		Limit: wire.LimitMaxTokens, AskUsage: true,
		Source:     "page api-docs.deepseek.com/zh-cn/api/create-chat-completion (stored copy): host, max_tokens; copies of its examples elsewhere: /v1 kept for compatibility, stream_options",
		Unverified: "BaseURL (the /v1: copies only), Env, AskUsage (copies only)"},
	{Name: "qwen", BaseURL: "https://dashscope.aliyuncs.com/compatible-mode/v1", Env: []string{"DASHSCOPE_API_KEY"},
		Limit: wire.LimitMaxTokens, AskUsage: true,
		Source:     "pages help.aliyun.com/zh/model-studio/developer-reference/compatibility-of-openai-with-dashscope and …/model-studio/glm (stored copies): address, variable, include_usage",
		Unverified: "Limit"},
	{Name: "moonshot", BaseURL: "https://api.moonshot.cn/v1", Env: []string{"MOONSHOT_API_KEY"},
		Limit: wire.LimitMaxCompletionTokens, AskUsage: true,
		Source:     "pages platform.kimi.com/docs/api/chat and its OpenAPI document at apis.io (stored copies): address, variable, max_tokens deprecated for max_completion_tokens; a third-party description at asyncapi.apis.io: include_usage",
		Unverified: "AskUsage"},
	{Name: "zhipu", BaseURL: "https://open.bigmodel.cn/api/paas/v4", Env: []string{"ZHIPUAI_API_KEY", "ZAI_API_KEY"},
		Limit: wire.LimitMaxTokens, AskUsage: false,
		Source:     "SDK zai-org/z-ai-sdk-python d8d898b (2026-04-08): address, ZAI_API_KEY, max_tokens, no stream_options; page docs.bigmodel.cn/cn/guide/capabilities/streaming (stored copy): usage is in the last chunk",
		Unverified: "Env (ZHIPUAI_API_KEY: others' code only)"},
	{Name: "mistral", BaseURL: "https://api.mistral.ai/v1", Env: []string{"MISTRAL_API_KEY"},
		Limit: wire.LimitMaxTokens, AskUsage: false,
		Source: "SDK mistralai/client-python 05629d23 (2026-06-30): address, variable, max_tokens, no stream_options, usage in a chunk; reports dnakov/anon-kode#53 and avante-corp/avante.nvim#2347 (2025): stream_options is refused with 422"},
	{Name: "groq", BaseURL: "https://api.groq.com/openai/v1", Env: []string{"GROQ_API_KEY"},
		Limit: wire.LimitMaxCompletionTokens, AskUsage: true,
		Source: "SDK groq/groq-python 9620fde (2026-08-18): address, variable, max_tokens deprecated for max_completion_tokens; include_usage is named in the comments of its chunk type only"},
	{Name: "together", BaseURL: "https://api.together.xyz/v1", Env: []string{"TOGETHER_API_KEY"},
		Limit: wire.LimitMaxTokens, AskUsage: true,
		Source:     "SDK togethercomputer/together-python eba5e5f (2025-12-23): address, variable, max_tokens, usage in a chunk, no stream_options",
		Unverified: "AskUsage"},
	{Name: "fireworks", BaseURL: "https://api.fireworks.ai/inference/v1", Env: []string{"FIREWORKS_API_KEY"},
		Limit: wire.LimitMaxTokens, AskUsage: true,
		Source:     "pages docs.fireworks.ai/tools-sdks/openai-compatibility and fireworks.ai/docs/guides/querying-text-models (stored copies): address, variable, max_tokens; usage is in the last chunk without being asked for",
		Unverified: "AskUsage"},
	{Name: "xai", BaseURL: "https://api.x.ai/v1", Env: []string{"XAI_API_KEY"},
		Limit: wire.LimitMaxTokens, AskUsage: true,
		Source:     "copy of the guide at grok-api.apidog.io and reference.langchain.com, ChatXAIInput: address, variable; report BerriAI/litellm#17136 (2025-11): usage comes when include_usage is asked for",
		Unverified: "BaseURL, Env, Limit (others' code sends max_tokens), AskUsage"},
	{Name: "openrouter", BaseURL: "https://openrouter.ai/api/v1", Env: []string{"OPENROUTER_API_KEY"},
		Limit: wire.LimitMaxTokens, AskUsage: true,
		Source:     "page openrouter.ai/docs/use-cases/usage-accounting (stored copy): include_usage is accepted without effect, usage always comes; recorded calls of other projects: address, max_tokens",
		Unverified: "BaseURL, Env, Limit"},
	{Name: "perplexity", BaseURL: "https://api.perplexity.ai", Env: []string{"PERPLEXITY_API_KEY"},
		Limit: wire.LimitMaxTokens, AskUsage: false,
		Source: "SDK perplexityai/perplexity-py 3485870 (2026-06-08): address, variable, max_tokens, no stream_options, usage in a chunk; copy of a call in kardolus/chatgpt-cli: usage in every chunk"},
	{Name: "nvidia", BaseURL: "https://integrate.api.nvidia.com/v1", Env: []string{"NVIDIA_API_KEY"},
		Limit: wire.LimitMaxTokens, AskUsage: true,
		Source:     "docs.pipecat.ai, NVIDIA service (stored copy of a third party): address, variable; docs.helicone.ai: max_tokens; docs.nvidia.com/nim: NIM is built on vLLM",
		Unverified: "BaseURL, Env, Limit, AskUsage"},
	{Name: "huggingface", BaseURL: "https://router.huggingface.co/v1", Env: []string{"HF_TOKEN"},
		Limit: wire.LimitMaxTokens, AskUsage: true,
		Source: "SDK huggingface/huggingface_hub ee0a4510 (2026-08-20): address, variable, max_tokens, include_usage"},
	{Name: "cerebras", BaseURL: "https://api.cerebras.ai/v1", Env: []string{"CEREBRAS_API_KEY"},
		Limit: wire.LimitMaxCompletionTokens, AskUsage: true,
		Source: "SDK Cerebras/cerebras-cloud-sdk-python bebb8d1 (2026-01-06): address, variable, max_tokens deprecated for max_completion_tokens, include_usage"},
	{Name: "deepinfra", BaseURL: "https://api.deepinfra.com/v1/openai", Env: []string{"DEEPINFRA_TOKEN", "DEEPINFRA_API_KEY"},
		Limit: wire.LimitMaxTokens, AskUsage: true,
		Source:     "pages docs.deepinfra.com/chat/streaming and …/chat/overview (stored copies): address, DEEPINFRA_TOKEN, max_tokens; usage is in the last chunk without being asked for",
		Unverified: "AskUsage, Env (DEEPINFRA_API_KEY: others' documentation only)"},
	{Name: "siliconflow", BaseURL: "https://api.siliconflow.cn/v1", Env: []string{"SILICONFLOW_API_KEY"},
		Limit: wire.LimitMaxTokens, AskUsage: true,
		Source:     "page docs.siliconflow.cn/docs/api/chat-completions-post (stored copy): max_tokens; third-party guides: address, variable",
		Unverified: "BaseURL, Env, AskUsage"},
	{Name: "volcengine", BaseURL: "https://ark.cn-beijing.volces.com/api/v3", Env: []string{"ARK_API_KEY"},
		Limit: wire.LimitMaxTokens, AskUsage: true,
		Source: "SDK volcengine/volcengine-python-sdk b5be43b5 (2026-07-23): address, variable, max_tokens beside max_completion_tokens, include_usage"},
	{Name: "vllm", BaseURL: "http://127.0.0.1:8000/v1", Env: []string{"VLLM_API_KEY"}, Local: true,
		Limit: wire.LimitMaxTokens, AskUsage: true,
		Source:     "source vllm-project/vllm 002032ee, chat_completion/protocol.py: max_tokens (deprecated) beside max_completion_tokens, stream_options; page docs.vllm.ai, vllm complete 0.18: address",
		Unverified: "Env"},
	{Name: "sglang", BaseURL: "http://127.0.0.1:30000/v1", Env: []string{"SGLANG_API_KEY"}, Local: true,
		Limit: wire.LimitMaxTokens, AskUsage: true,
		Source:     "source sgl-project/sglang 004c82e0, openai/protocol.py: max_tokens (deprecated) beside max_completion_tokens, include_usage",
		Unverified: "BaseURL (the port), Env"},
	{Name: "ollama", BaseURL: "http://127.0.0.1:11434/v1", Env: nil, Local: true,
		Limit: wire.LimitMaxTokens, AskUsage: true,
		Source: "source ollama/ollama fb307609 (2026-08-21), openai/openai.go, envconfig and docs/api/openai-compatibility.mdx: port, max_tokens, include_usage"},
	{Name: "llama-server", BaseURL: "http://127.0.0.1:8080/v1", Env: []string{"LLAMA_API_KEY"}, Local: true,
		Limit: wire.LimitMaxTokens, AskUsage: true,
		Source:     "source ggerganov/llama.cpp 006167dd, examples/server/README.md (an older copy): port, variable",
		Unverified: "Limit, AskUsage"},
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
