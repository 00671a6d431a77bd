package usage

import (
	"strings"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/money"
)

// openAI reads a usage object in the shapes that descend from OpenAI's: chat,
// completions, responses, embeddings, images, audio.
//
// The rule is that details lie inside their totals (OpenAI, "Prompt caching" and
// "Reasoning models": cached_tokens is part of prompt_tokens, reasoning_tokens
// part of completion_tokens; accepted and rejected prediction tokens are part of
// completion_tokens and billed as output). What differs by provider is named
// below.
func openAI(provider, surface string, n *node) *counts {
	k := &counts{}
	in := n.first("prompt_tokens_details", "input_tokens_details", "input_token_details")
	out := n.first("completion_tokens_details", "output_tokens_details", "output_token_details")
	k.prompt = either(k.read(n.get("prompt_tokens")), k.read(n.get("input_tokens")))
	k.completion = either(k.read(n.get("completion_tokens")), k.read(n.get("output_tokens")))

	// The same cached tokens go by several names: DeepSeek's
	// prompt_cache_hit_tokens (hit + miss = prompt_tokens), Moonshot's and
	// Together's cached_tokens at the top of usage, Mistral's
	// num_cached_tokens. They restate one number and are never added.
	k.cached = most(
		k.read(in.get("cached_tokens")),
		k.read(n.get("prompt_cache_hit_tokens")),
		k.read(n.get("cached_tokens")),
		k.read(n.get("num_cached_tokens")),
		k.read(n.get("cache_read_input_tokens")),
		k.read(in.get("cache_read_input_tokens")),
		k.read(n.at("prompt_token_details", "cached_tokens")),
	)
	if k.prompt.state == missing {
		if miss := k.read(n.get("prompt_cache_miss_tokens")); miss.state == stated {
			k.prompt = sum(k.cached, miss)
		}
	}
	// Cache writes: OpenAI from gpt-5.6 on and OpenRouter say cache_write_tokens,
	// Qwen says cache_creation_input_tokens with a split by lifetime; all lie
	// inside the prompt.
	write := most(
		k.read(in.get("cache_write_tokens")),
		k.read(in.get("cache_creation_input_tokens")),
		k.read(in.get("cache_creation_tokens")),
		k.read(n.get("cache_creation_input_tokens")),
	)
	split := in.get("cache_creation")
	if split == nil {
		split = n.get("cache_creation")
	}
	k.splitWrites(write, split)

	k.audio = k.read(in.get("audio_tokens"))
	k.image = k.read(in.get("image_tokens"))
	if of := in.first("cached_tokens_details", "cached_token_details"); of != nil {
		k.cachedOf = map[model.Bucket]count{
			model.CacheReadAudio: k.read(of.get("audio_tokens")),
			model.CacheReadImage: k.read(of.get("image_tokens")),
		}
	}
	// SGLang states reasoning_tokens at the top of usage, inside the completion.
	k.reasoning = most(k.read(out.get("reasoning_tokens")), k.read(n.get("reasoning_tokens")))
	k.outAudio = k.read(out.get("audio_tokens"))
	k.outImage = k.read(out.get("image_tokens"))
	total := k.read(n.get("total_tokens"))

	switch provider {
	case "qwen":
		// The native multimodal shape states them at the top, inside the input.
		k.audio = either(k.audio, k.read(n.get("audio_tokens")))
		k.image = either(k.image, k.read(n.get("image_tokens")))
		// max_tokens does not limit the chain of thought, which lies inside
		// completion_tokens (Alibaba Cloud, "Qwen API reference", max_tokens).
		k.reasoningUnbounded = true
	case "volcengine":
		// The same (Volcano Engine, "Chat API", max_tokens).
		k.reasoningUnbounded = true
	case "xai":
		// xAI's chat counts reasoning beside completion_tokens, its Responses
		// endpoint inside output_tokens; total_tokens tells (xAI, "Reasoning",
		// "Consumption and rate limits").
		k.reasoningOutside = reasoningOutside(k, total, surface != "responses")
		// max_tokens bounds what is visible only: grok-4 asked for 50 tokens
		// states, and its cost_in_usd_ticks bills, 89 of reasoning
		// (BerriAI/litellm#36281, 2026).
		k.reasoningUnbounded = true
		// The search tools are billed by the call. num_sources_used counts what
		// they found, and is what the older Live Search billed by.
		calls := sum(
			k.read(n.at("server_side_tool_usage_details", "web_search_calls")),
			k.read(n.at("server_side_tool_usage_details", "x_search_calls")),
		)
		if calls.state != stated || calls.n == 0 {
			calls = either(k.read(n.get("num_sources_used")), calls)
		}
		k.unit(model.WebSearch, calls)
	case "perplexity":
		// Sonar bills reasoning and citation tokens beside completion_tokens;
		// they are not part of total_tokens (Perplexity, "Pricing"). The Agent
		// API speaks OpenAI's Responses, with reasoning inside the output.
		k.reasoningOutside, k.reasoningUnbounded = surface != "responses", true
		k.citation = k.read(n.get("citation_tokens"))
		k.unit(model.SearchQuery, k.read(n.get("num_search_queries")))
	case "gemini", "vertex":
		// Gemini's OpenAI endpoint leaves thinking out of completion_tokens and
		// shows it only in total_tokens.
		if k.reasoning.n == 0 && k.prompt.state == stated && k.completion.state == stated &&
			total.state == stated && total.n > k.prompt.n+k.completion.n {
			k.reasoning = count{n: total.n - k.prompt.n - k.completion.n, state: stated}
			k.reasoningOutside = true
		} else {
			k.reasoningOutside = reasoningOutside(k, total, false)
		}
	}
	if k.citation.state == missing {
		k.citation = k.read(n.get("citation_tokens"))
	}
	// Embeddings and rerankers of some providers state only a total (Voyage, Jina).
	if noCompletion(surface) && k.prompt.state == missing {
		k.prompt = total
	}
	k.unit(model.WebSearch, either(
		k.units[model.WebSearch],
		k.read(n.at("server_tool_use", "web_search_requests")),
		k.read(n.at("server_tool_use_details", "web_search_requests")),
		k.read(n.at("plugins", "search", "count")),
		k.read(n.at("tool_calls_details", "search_web", "invocation")), // Perplexity's Agent API
		k.read(n.at("tool_calls_details", "web_search", "invocation")),
	))
	k.audioOf(provider, surface, n)
	return k
}

// audioOf reads what speech and transcription endpoints state.
func (k *counts) audioOf(provider, surface string, n *node) {
	// Mistral's Voxtral bills the seconds of audio beside the text tokens.
	for _, key := range []string{"prompt_audio_seconds", "input_audio_seconds"} {
		k.duration(n.get(key))
	}
	switch surface {
	case "audio.transcriptions", "audio.translations":
		if n.get("type").str() == "duration" || k.prompt.state == missing && n.get("seconds") != nil {
			k.duration(n.first("seconds", "duration"))
		}
	case "audio.speech":
		k.unit(model.Character, k.read(n.first("characters", "input_characters", "total_characters", "usage_characters")))
		// What speech puts out is audio.
		if k.outAudio.state == missing {
			k.outAudio = k.completion
		}
	case "images", "images.generations", "images.edits", "images.variations", "image":
		// What an image endpoint puts out is image tokens, but for the text
		// that it states.
		if k.outImage.state == missing && k.completion.state == stated {
			text := k.read(n.at("output_tokens_details", "text_tokens"))
			k.outImage = count{n: max(0, k.completion.n-text.n), state: stated}
		}
	}
}

// duration sets the seconds of audio.
func (k *counts) duration(n *node) {
	d, ok := n.decimal()
	if !ok || d.IsZero() {
		return
	}
	if d.Sign() < 0 {
		k.flag(FlagNegative)
		return
	}
	k.seconds = &d
}

// reasoningOutside decides by the stated total where reasoning lies, and
// otherwise by what the provider is known to do.
func reasoningOutside(k *counts, total count, otherwise bool) bool {
	if total.state == stated && k.reasoning.n > k.completion.n &&
		total.n == k.prompt.n+k.completion.n+k.reasoning.n {
		return true
	}
	if k.reasoning.n > 0 && k.reasoning.n <= k.completion.n && total.state == stated && k.prompt.state == stated && k.completion.state == stated {
		switch total.n {
		case k.prompt.n + k.completion.n + k.reasoning.n:
			return true
		case k.prompt.n + k.completion.n:
			return false
		}
	}
	return otherwise
}

// splitWrites divides cache writes by lifetime. The parts lie inside the total;
// a total that is not stated is their sum, and what no part names was written
// for five minutes.
func (k *counts) splitWrites(total count, split *node) {
	hour := k.read(split.get("ephemeral_1h_input_tokens"))
	five := k.read(split.get("ephemeral_5m_input_tokens"))
	if total.state == missing {
		k.write, k.write1h = five, hour
		return
	}
	if hour.n > total.n || five.n > total.n {
		k.flag(FlagDetailClamped)
	}
	k.write1h = hour
	k.write1h.n = min(hour.n, total.n)
	k.write = total
	k.write.n -= k.write1h.n
}

// anthropic reads Anthropic's usage: input_tokens is only what was neither read
// from nor written to a cache; cache_read_input_tokens and
// cache_creation_input_tokens lie beside it (Anthropic, "Prompt caching").
func anthropic(n *node) *counts {
	k := &counts{outside: true}
	k.prompt = k.read(n.get("input_tokens"))
	k.completion = k.read(n.get("output_tokens"))
	k.cached = k.read(n.get("cache_read_input_tokens"))
	k.splitWrites(k.read(n.get("cache_creation_input_tokens")), n.get("cache_creation"))
	k.reasoning = either(k.read(n.at("output_tokens_details", "thinking_tokens")), k.read(n.at("output_tokens_details", "reasoning_tokens")))
	k.unit(model.WebSearch, k.read(n.at("server_tool_use", "web_search_requests")))
	// A compaction step is billed and not in the totals at the top, unlike the
	// other iterations (Anthropic, "Compaction").
	for _, step := range n.get("iterations").items() {
		if step.get("type").str() != "compaction" {
			continue
		}
		c := anthropic(step)
		k.prompt, k.completion = sum(k.prompt, c.prompt), sum(k.completion, c.completion)
		k.cached, k.write, k.write1h = sum(k.cached, c.cached), sum(k.write, c.write), sum(k.write1h, c.write1h)
		k.flags = append(k.flags, c.flags...)
	}
	return k
}

// bedrock reads Converse's usage: cache reads and writes lie beside inputTokens
// (AWS, TokenUsage), writes split by lifetime in cacheDetails.
func bedrock(n *node) *counts {
	k := &counts{outside: true}
	k.prompt = either(k.read(n.get("inputTokens")), k.read(n.get("inputTokenCount")))
	k.completion = either(k.read(n.get("outputTokens")), k.read(n.get("outputTokenCount")))
	k.cached = either(k.read(n.get("cacheReadInputTokens")), k.read(n.get("cacheReadInputTokenCount")), k.read(n.get("cacheReadInputTokensCount")))
	write := either(k.read(n.get("cacheWriteInputTokens")), k.read(n.get("cacheWriteInputTokenCount")), k.read(n.get("cacheWriteInputTokensCount")))
	var hour, five count
	for _, item := range n.get("cacheDetails").items() {
		c := k.read(item.get("inputTokens"))
		if item.get("ttl").str() == "1h" {
			hour = sum(hour, c)
		} else {
			five = sum(five, c)
		}
	}
	switch {
	case write.state == missing:
		k.write, k.write1h = five, hour
	default:
		if hour.n > write.n || five.n > write.n {
			k.flag(FlagDetailClamped)
		}
		k.write1h = hour
		k.write1h.n = min(hour.n, write.n)
		k.write = write
		k.write.n -= k.write1h.n
	}
	return k
}

// gemini reads usageMetadata. cachedContentTokenCount lies inside
// promptTokenCount; toolUsePromptTokenCount lies beside it, and
// thoughtsTokenCount beside candidatesTokenCount (Google, UsageMetadata). Zeros
// are left out, as in all JSON made from protocol buffers. Some Vertex models
// count thoughts inside the candidates; totalTokenCount tells.
func gemini(n *node) *counts {
	k := &counts{}
	get := func(camel, snake string) *node { return n.first(camel, snake) }
	k.prompt = k.read(get("promptTokenCount", "prompt_token_count"))
	k.cached = k.read(get("cachedContentTokenCount", "cached_content_token_count"))
	k.completion = either(
		k.read(get("candidatesTokenCount", "candidates_token_count")),
		k.read(get("responseTokenCount", "response_token_count")))
	k.reasoning = k.read(get("thoughtsTokenCount", "thoughts_token_count"))
	k.extraInput = k.read(get("toolUsePromptTokenCount", "tool_use_prompt_token_count"))
	k.audio, k.image = k.modality(get("promptTokensDetails", "prompt_tokens_details"))
	if of := get("cacheTokensDetails", "cache_tokens_details"); of != nil {
		audio, image := k.modality(of)
		k.cachedOf = map[model.Bucket]count{model.CacheReadAudio: audio, model.CacheReadImage: image}
	}
	details := get("candidatesTokensDetails", "candidates_tokens_details")
	if details == nil {
		details = get("responseTokensDetails", "response_tokens_details")
	}
	k.outAudio, k.outImage = k.modality(details)
	k.reasoningOutside = true
	total := k.read(get("totalTokenCount", "total_token_count"))
	if k.reasoning.n > 0 && k.reasoning.n <= k.completion.n && total.state == stated &&
		total.n == k.prompt.n+k.extraInput.n+k.completion.n {
		k.reasoningOutside = false
	}
	if k.completion.state == missing && k.reasoning.state == stated {
		// Thinking alone: the candidates' zero was left out.
		k.completion = count{state: stated}
	}
	return k
}

// interactions reads the usage of Gemini's Interactions endpoint, which has the
// same convention under other names (Google, "Interactions API", Usage).
func interactions(n *node) *counts {
	k := &counts{reasoningOutside: true}
	k.prompt = k.read(n.get("total_input_tokens"))
	k.cached = k.read(n.get("total_cached_tokens"))
	k.completion = k.read(n.get("total_output_tokens"))
	k.reasoning = either(k.read(n.get("total_thought_tokens")), k.read(n.get("total_reasoning_tokens")))
	k.extraInput = k.read(n.get("total_tool_use_tokens"))
	k.audio, k.image = k.modality(n.get("input_tokens_by_modality"))
	k.outAudio, k.outImage = k.modality(n.get("output_tokens_by_modality"))
	return k
}

// modality sums the audio and image tokens of a list by modality. Video frames
// and documents are priced as text by every published Gemini price, and stay
// with it.
func (k *counts) modality(details *node) (audio, image count) {
	for _, item := range details.items() {
		n := k.read(item.first("tokenCount", "token_count", "tokens"))
		switch strings.ToUpper(item.get("modality").str()) {
		case "AUDIO":
			audio = sum(audio, n)
		case "IMAGE":
			image = sum(image, n)
		}
	}
	return audio, image
}

// cohere reads Cohere's usage (v2) or meta (v1). billed_units is what is
// charged; tokens counts also what Cohere adds and does not charge, and stands
// in only where nothing billed is stated.
func cohere(n *node) *counts {
	k := &counts{}
	billed, tokens := n.get("billed_units").object(), n.get("tokens").object()
	pick := func(key string) count {
		if c := k.read(billed.get(key)); c.state != missing {
			return c
		}
		if billed.get("search_units") != nil {
			return count{} // charged by search unit, not by token
		}
		return k.read(tokens.get(key))
	}
	k.prompt, k.completion = pick("input_tokens"), pick("output_tokens")
	k.image = k.read(billed.get("image_tokens"))
	if k.image.state == stated && k.image.n > 0 {
		k.prompt = sum(k.prompt, k.image) // image_tokens lie beside input_tokens
	}
	// usage.cached_tokens says what was found in a cache; Cohere bills the same
	// for it, and billed_units already holds what is billed.
	k.unit(model.SearchUnit, k.read(billed.get("search_units")))
	return k
}

// ollama reads the counts at the top of Ollama's last object. The tokens read
// from the cache lie inside prompt_eval_count (Ollama, "API", since 0.33); older
// servers left out the whole count when all of the prompt was cached.
func ollama(n *node) *counts {
	k := &counts{}
	k.prompt = k.read(n.get("prompt_eval_count"))
	k.cached = k.read(n.get("prompt_eval_cached_count"))
	k.completion = k.read(n.get("eval_count"))
	return k
}

// llamaTimings reads llama-server's timings, which it sends also where it sends
// no usage: prompt_n tokens were computed, cache_n were found in the cache.
func llamaTimings(n *node) *counts {
	k := &counts{}
	k.cached = k.read(n.get("cache_n"))
	k.prompt = sum(k.read(n.get("prompt_n")), k.cached)
	k.completion = k.read(n.get("predicted_n"))
	return k
}

// canonical is the name under which this package knows a provider.
func canonical(provider string) string {
	p := strings.ToLower(provider)
	switch p {
	case "x-ai", "x.ai", "x_ai", "grok":
		return "xai"
	case "google", "googleai", "google_ai_studio", "google-ai-studio":
		return "gemini"
	case "vertex_ai", "vertexai", "google-vertex", "google_vertex":
		return "vertex"
	case "aws", "aws-bedrock", "aws_bedrock", "amazon-bedrock", "amazon_bedrock", "bedrock_converse":
		return "bedrock"
	case "dashscope", "alibaba", "alibabacloud", "alibaba-cloud":
		return "qwen"
	case "pplx", "perplexity_ai", "perplexity-ai":
		return "perplexity"
	case "open_router", "open-router":
		return "openrouter"
	case "azure_openai", "azure-openai":
		return "azure"
	}
	return p
}

// noCompletion says that a surface's reply has no completion tokens.
func noCompletion(surface string) bool {
	switch surface {
	case "embeddings", "embed", "rerank", "moderations", "embedContent", "batchEmbedContents", "classify":
		return true
	}
	return false
}

// convention picks the reading of a usage object by its own fields, since one
// provider speaks several.
func convention(provider, surface string, n *node) *counts {
	switch {
	case n.has("total_input_tokens") || n.has("total_output_tokens"):
		return interactions(n)
	case n.has("promptTokenCount") || n.has("prompt_token_count") || n.has("totalTokenCount") ||
		n.has("candidatesTokenCount") || n.has("thoughtsTokenCount"):
		return gemini(n)
	case n.has("inputTokens") || n.has("outputTokens") || n.has("inputTokenCount") || n.has("outputTokenCount") ||
		provider == "bedrock" && n.has("cacheReadInputTokens"):
		return bedrock(n)
	case n.has("billed_units") || provider == "cohere" && n.has("tokens"):
		return cohere(n)
	case n.has("prompt_eval_count") || n.has("eval_count"):
		return ollama(n)
	case n.has("prompt_tokens") || n.has("completion_tokens"):
		return openAI(provider, surface, n)
	case provider == "anthropic" || surface == "messages" || surface == "invoke" ||
		(n.has("input_tokens") && (n.has("cache_read_input_tokens") || n.has("cache_creation_input_tokens"))):
		return anthropic(n)
	}
	return openAI(provider, surface, n)
}

// facts copies what prices depend on from a usage object.
func facts(u *model.Usage, n *node) {
	set := func(dst *string, v *node) {
		if s := v.str(); s != "" {
			*dst = s
		}
	}
	set(&u.ServiceTier, n.first("service_tier", "serviceTier"))
	if t := n.first("trafficType", "traffic_type").str(); t != "" && u.ServiceTier == "" {
		u.ServiceTier = trafficTier(t)
	}
	if n.get("speed").str() == "fast" {
		// Anthropic's fast mode is priced apart, whatever the tier.
		u.ServiceTier = "fast"
	}
	u.ServiceTier = normalTier(u.ServiceTier)
	set(&u.CacheType, cacheType(n, 0))
	set(&u.Geography, n.first("inference_geo", "inferenceGeo"))
}

// cacheType finds Qwen's cache_type, which stands among the prompt's details.
func cacheType(n *node, depth int) *node {
	if t := n.get("cache_type"); t != nil || n.object() == nil || depth > 2 {
		return t
	}
	for _, v := range n.vals {
		if t := cacheType(v, depth+1); t != nil {
			return t
		}
	}
	return nil
}

// trafficTier reads Vertex AI's traffic type as a service tier.
func trafficTier(t string) string {
	switch t {
	case "ON_DEMAND":
		return ""
	case "ON_DEMAND_FLEX":
		return "flex"
	case "ON_DEMAND_PRIORITY":
		return "priority"
	}
	return strings.ToLower(t)
}

// normalTier writes a tier as prices name it: SERVICE_TIER_FLEX is flex.
func normalTier(t string) string {
	t = strings.ToLower(t)
	return strings.TrimPrefix(t, "service_tier_")
}

// reportedPath says where a provider's usage object states its own cost, and by
// what the number is divided to make USD.
func reportedPath(provider string) (path []string, divisor money.Decimal) {
	switch provider {
	case "openrouter":
		return []string{"cost"}, money.Int(1)
	case "perplexity":
		return []string{"cost", "total_cost"}, money.Int(1)
	case "xai":
		return []string{"cost_in_usd_ticks"}, money.Int(10_000_000_000)
	case "deepinfra":
		return []string{"estimated_cost"}, money.Int(1)
	}
	return nil, money.Decimal{}
}

// statedCost reads a cost that cannot be negative.
func statedCost(u *model.Usage, n *node, divisor money.Decimal) {
	d, ok := n.decimal()
	if !ok {
		return
	}
	if d.Sign() < 0 {
		u.Flag(FlagCostRefused)
		return
	}
	if !divisor.IsZero() {
		q, _, err := d.Quo(divisor)
		if err != nil {
			u.Flag(FlagCostRefused)
			return
		}
		d = q
	}
	u.ProviderCost = &d
}
