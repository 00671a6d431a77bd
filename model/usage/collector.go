package usage

import (
	"strings"

	"github.com/stratahq/strata/model"
)

// collector gathers what the documents of one reply say: the one document of a
// whole reply, or the events of a stream in order.
type collector struct {
	provider, surface string
	ctx               Context
	request           *node

	wholeBody bool
	ended     bool // a mark of the reply's own end was seen
	documents int
	failed    bool // an error was seen
	flags     []string

	// usage is the merged statement at the reply's top, per choice when only
	// choices state it, and of the other places that providers use.
	usage, choice, metrics, timings *node
	// start is usage that was stated before there was any output, so its
	// output count is no result (Anthropic's message_start).
	start *node
	facts model.Usage

	text     bool
	output   textBuffer
	images   int64
	duration *node
	segments *node
	cost     *node
	costPath []string
	context  string

	searches map[string]bool // ids of web searches in output items
	unnamed  int64           // web searches without an id
	replied  bool            // searches came from a whole list of output items
	queries  map[string]bool // Gemini's search queries
	grounded bool
}

func newCollector(provider, surface string, ctx Context) collector {
	c := collector{provider: canonical(provider), surface: surface, ctx: ctx}
	if ctx.CostPath != "" {
		c.costPath = strings.Split(ctx.CostPath, ".")
	}
	if n, err := parseNode(ctx.Request); err == nil {
		c.request = n.object()
	}
	return c
}

func (c *collector) flag(name string) {
	for _, f := range c.flags {
		if f == name {
			return
		}
	}
	c.flags = append(c.flags, name)
}

// observe takes one document of the reply.
func (c *collector) observe(doc *node) {
	if doc.kind == 'a' {
		for _, item := range doc.vals {
			c.observe(item)
		}
		return
	}
	if doc.kind != 'o' {
		return
	}
	if inner := c.unwrap(doc); inner != nil {
		doc = inner
	} else if reply := batched(doc); reply != nil {
		doc = reply
	}
	switch doc.get("type").str() {
	case "response.created", "response.in_progress", "response.queued", "ping":
		// Events that come before anything was done.
	default:
		c.documents++
	}
	c.observeEnd(doc)
	c.observeUsage(doc)
	c.observeFacts(doc)
	c.observeSearches(doc)
	c.observeOutput(doc)
	if len(c.costPath) > 0 {
		for _, root := range []*node{doc, doc.get("response"), doc.get("message")} {
			if v := root.lookup(c.costPath); v != nil {
				c.cost = v
			}
		}
	}
}

// unwrap opens the envelope of Bedrock's InvokeModel stream, whose events carry
// the model's own payload in base64, and of Vertex's list of responses.
func (c *collector) unwrap(doc *node) *node {
	raw := doc.get("bytes").str()
	if raw == "" {
		raw = doc.at("chunk", "bytes").str()
	}
	if raw == "" || c.provider != "bedrock" {
		return nil
	}
	data, err := decodeBase64(raw)
	if err != nil {
		c.flag(FlagMalformed)
		return nil
	}
	n, err := parseNode(data)
	if err != nil || n.kind != 'o' {
		c.flag(FlagMalformed)
		return nil
	}
	return n
}

// batched is the reply inside a line of a batch's results, or nil: OpenAI's is
// at response.body, Anthropic's at result.message, Bedrock's at modelOutput.
func batched(doc *node) *node {
	switch {
	case doc.get("custom_id") != nil:
		if body := doc.at("response", "body").object(); body != nil {
			return body
		}
		return doc.at("result", "message").object()
	case doc.get("recordId") != nil:
		return doc.get("modelOutput").object()
	}
	return nil
}

// observeEnd looks for errors and for marks of the reply's own end.
func (c *collector) observeEnd(doc *node) {
	kind := doc.get("type").str()
	if e := doc.get("error"); e != nil && (e.kind == 'o' || e.kind == 's' && e.text != "") || kind == "error" ||
		kind == "response.failed" || doc.get("errorMessage") != nil {
		c.failed = true
	}
	switch kind {
	case "message_stop", "response.completed", "response.incomplete", "response.failed", "message-end",
		"transcript.text.done", "speech.audio.done", "image_generation.completed", "image_edit.completed":
		c.ended = true
	}
	if doc.get("done").isTrue() || doc.get("is_finished").isTrue() || doc.get("messageStop") != nil ||
		doc.get("stopReason") != nil || doc.get("event_type").str() == "stream-end" {
		c.ended = true
	}
}

// observeUsage merges the usage that a document states, wherever it states it.
func (c *collector) observeUsage(doc *node) {
	add := func(dst **node, n *node) {
		if n = n.object(); n != nil {
			*dst = (*dst).merge(n)
		}
	}
	switch doc.get("type").str() {
	case "message_start":
		// Anthropic: the prompt is final here, the output count is not yet.
		add(&c.start, doc.at("message", "usage"))
		return
	case "message_delta":
		add(&c.usage, doc.get("usage"))
		add(&c.metrics, doc.get("amazon-bedrock-invocationMetrics"))
		return
	}
	// Moonshot and some Groq streams state usage inside a choice or a vendor's
	// own object.
	for _, choice := range doc.get("choices").items() {
		add(&c.choice, choice.get("usage"))
	}
	add(&c.usage, doc.at("x_groq", "usage"))
	add(&c.usage, doc.at("metadata", "usage")) // Bedrock ConverseStream
	add(&c.usage, doc.at("delta", "usage"))    // Cohere v2 message-end
	add(&c.usage, doc.at("response", "usage")) // OpenAI Responses events
	add(&c.usage, doc.at("response", "meta"))  // Cohere v1 stream-end
	add(&c.usage, doc.at("data", "usage"))     // wrappers
	add(&c.usage, doc.at("result", "usage"))   // Cloudflare Workers AI
	add(&c.usage, doc.at("message", "usage"))  // an Anthropic message inside a wrapper
	add(&c.usage, doc.at("response", "usageMetadata"))
	if c.provider == "cohere" || doc.at("meta", "billed_units") != nil {
		add(&c.usage, doc.get("meta"))
	}
	add(&c.usage, doc.first("usageMetadata", "usage_metadata"))
	add(&c.usage, doc.get("usage"))
	add(&c.metrics, doc.get("amazon-bedrock-invocationMetrics"))
	add(&c.timings, doc.get("timings"))
	if doc.has("prompt_eval_count") || doc.has("eval_count") {
		add(&c.usage, doc)
	}
	add(&c.usage, doc.get("meta_info")) // SGLang's own generate endpoint
	if doc.has("tokens_predicted") {    // llama-server's own completion endpoint
		add(&c.usage, renamed(doc, "tokens_evaluated", "prompt_tokens", "tokens_predicted", "completion_tokens"))
		add(&c.usage, renamed(doc.get("timings"), "cache_n", "cached_tokens"))
	}
	if c.provider == "bedrock" {
		c.observeTitan(doc)
	}
}

// observeTitan reads the token counts at the top of the older Bedrock models'
// replies (Titan, Llama).
func (c *collector) observeTitan(doc *node) {
	add := func(n *node) {
		if len(n.keys) > 0 {
			c.usage = c.usage.merge(n)
		}
	}
	add(renamed(doc, "inputTextTokenCount", "input_tokens", "prompt_token_count", "input_tokens",
		"totalOutputTextTokenCount", "output_tokens", "generation_token_count", "output_tokens"))
	if results := doc.get("results").items(); len(results) > 0 {
		add(renamed(results[0], "tokenCount", "output_tokens"))
	}
}

// renamed makes an object of some members of n under other names, given in
// pairs.
func renamed(n *node, pairs ...string) *node {
	out := &node{kind: 'o'}
	for i := 0; i+1 < len(pairs); i += 2 {
		if v := n.get(pairs[i]); v != nil {
			out.keys, out.vals = append(out.keys, pairs[i+1]), append(out.vals, v)
		}
	}
	return out
}

// observeFacts reads what prices depend on outside the usage object.
func (c *collector) observeFacts(doc *node) {
	for _, root := range []*node{doc, doc.get("response"), doc.get("message"), doc.get("metadata"), doc.get("x_groq")} {
		tier := root.first("service_tier", "serviceTier")
		if t := tier.get("type").str(); t != "" { // Bedrock says {"type": "priority"}
			c.facts.ServiceTier = normalTier(t)
		} else if t := tier.str(); t != "" {
			c.facts.ServiceTier = normalTier(t)
		}
		if root.at("performanceConfig", "latency").str() == "optimized" && c.facts.ServiceTier == "" {
			c.facts.ServiceTier = "optimized"
		}
		if g := root.first("inference_geo", "inferenceGeo").str(); g != "" {
			c.facts.Geography = g
		}
	}
	if s := doc.at("usage", "search_context_size").str(); s != "" {
		c.context = s
	}
	if d := doc.first("duration", "audio_duration"); d != nil {
		c.duration = d
	} else if d := doc.at("metadata", "duration"); d != nil {
		c.duration = d
	}
	if s := doc.get("segments"); s != nil {
		c.segments = s
	}
}

// merged is the one usage of the reply.
func (c *collector) merged() (n *node, k *counts) {
	top := c.usage
	if top == nil {
		top = c.choice
	}
	if top != nil || c.start != nil {
		n = c.start.merge(top)
		k = convention(c.provider, c.surface, n)
		if c.start != nil && top.first("output_tokens", "completion_tokens") == nil {
			// Only the opening event spoke, which counts no output yet.
			k.completion, k.reasoning = count{}, count{}
		}
		if c.metrics != nil {
			m := bedrock(c.metrics)
			k.prompt, k.completion = either(k.prompt, m.prompt), either(k.completion, m.completion)
			k.cached = either(k.cached, m.cached)
		}
		if !k.usesTokens() && !k.usesUnits() && len(k.units) == 0 {
			k = nil // an object without any number that we know
		}
	}
	if k == nil && c.metrics != nil {
		n, k = c.metrics, bedrock(c.metrics)
	}
	if k == nil && c.timings != nil {
		k = llamaTimings(c.timings)
	}
	return n, k
}

// result is what the reply comes to.
func (c *collector) result() Result {
	n, k := c.merged()
	known := k != nil
	k = c.media(k)
	env := environment{
		text:       c.text,
		cut:        c.ctx.EndedBy != "" || !c.wholeBody && !c.ended && !known,
		failed:     !c.text && (c.failed && (c.wholeBody || c.onlyError()) || c.ctx.EndedBy == "upstream_error" && c.documents == 0),
		noOutput:   noCompletion(c.surface),
		out:        c.outputBucket(),
		maxOutput:  c.maxOutput(),
		maxInput:   c.maxInput(),
		prompt:     c.promptTokens,
		completion: c.completionTokens,
	}
	if c.transcribes() && c.ctx.Priced.Has(model.InputAudio) {
		env.in = model.InputAudio
	}
	bucket, searches := c.webSearches()
	if searches > 0 && (k == nil || k.units[model.WebSearch].state == missing && k.units[model.SearchQuery].state == missing) {
		if k == nil {
			k = &counts{}
			k.flag(FlagNoUsage)
		}
		k.unit(bucket, count{n: searches, state: stated})
	}
	c.chooseSearch(k)
	c.plainImages(k)
	guessed := k == nil && !env.failed && c.surface == "rerank" && c.ctx.Priced.Has(model.SearchUnit)
	if guessed {
		k = c.guessSearches()
	}
	u := assemble(k, &env)
	if guessed {
		u.Estimated = u.Estimated.With(model.SearchUnit)
	}
	if env.cut && u.Estimated != 0 {
		u.Flag(FlagCut)
	}
	u.ServiceTier, u.Geography = c.facts.ServiceTier, c.facts.Geography
	if n != nil {
		facts(u, n)
	}
	for _, f := range c.flags {
		u.Flag(f)
	}
	if c.failed {
		u.Flag(FlagUpstreamError)
	}
	if c.cost != nil {
		statedCost(u, c.cost, c.ctx.CostDivisor)
	} else if path, divisor := reportedPath(c.provider); path != nil && c.ctx.CostPath == "" {
		statedCost(u, n.lookup(path), divisor)
		byok(c.provider, u, n)
	}
	if c.context == "" {
		c.context = c.request.at("web_search_options", "search_context_size").str()
	}
	c.requestFee(u, n)
	return Result{Usage: u, SearchContext: c.context, Text: c.text, Ended: c.ended || c.wholeBody && !c.failed}
}

// onlyError says that the reply holds nothing but an error.
func (c *collector) onlyError() bool { return c.documents <= 1 && c.usage == nil && c.start == nil }

// requestFee counts the request where Perplexity's reply itself shows that it
// has a fee. A card that prices requests adds it otherwise; one that does not
// is not made incomplete by a fee that only may exist.
func (c *collector) requestFee(u *model.Usage, n *node) {
	if c.provider != "perplexity" || u.IsZero() || c.ctx.Priced != 0 && len(c.costPath) == 0 {
		return
	}
	cost := n.get("cost").object()
	fee, ok := cost.get("request_cost").decimal()
	if ok && fee.Sign() > 0 || cost == nil && c.ctx.Priced == 0 && n.get("search_context_size") != nil && n.get("num_search_queries") == nil {
		u.Count[model.RequestFee] = 1
	}
}

// chooseSearch drops Perplexity's query count where the fee per request covers
// the searches: only the models without such a fee bill each query.
func (c *collector) chooseSearch(k *counts) {
	if k == nil || c.ctx.Priced == 0 {
		return
	}
	if c.ctx.Priced.Has(model.RequestFee) && !c.ctx.Priced.Has(model.SearchQuery) {
		delete(k.units, model.SearchQuery)
	}
}

// maxOutput is the most output tokens that the request and the model allow, over
// all choices; 0 when neither says.
func (c *collector) maxOutput() int64 {
	most := int64(0)
	lower := func(n *node) {
		if d, ok := n.decimal(); ok {
			if v, ok := d.Int64(); ok && v > 0 && (most == 0 || v < most) {
				most = v
			}
		}
	}
	r := c.request
	for _, key := range []string{"max_completion_tokens", "max_output_tokens", "max_tokens", "maxOutputTokens", "max_new_tokens", "max_tokens_to_sample", "maxTokens", "max_gen_len", "num_predict"} {
		lower(r.get(key))
	}
	lower(r.at("generationConfig", "maxOutputTokens"))
	lower(r.at("generation_config", "max_output_tokens"))
	lower(r.at("config", "maxOutputTokens"))
	lower(r.at("inferenceConfig", "maxTokens"))
	lower(r.at("textGenerationConfig", "maxTokenCount"))
	lower(r.at("options", "num_predict"))
	lower(r.at("parameters", "max_tokens"))
	if c.ctx.MaxOutput > 0 && (most == 0 || c.ctx.MaxOutput < most) {
		most = c.ctx.MaxOutput
	}
	choices := int64(1)
	for _, n := range []*node{r.get("n"), r.get("best_of"), r.get("candidateCount"), r.at("generationConfig", "candidateCount"), r.get("num_generations")} {
		if d, ok := n.decimal(); ok {
			if v, ok := d.Int64(); ok && v > choices && v <= 4096 {
				choices = v
			}
		}
	}
	if prompts := r.get("prompt").items(); len(prompts) > 1 && prompts[0].kind != 'n' {
		choices *= int64(len(prompts))
	}
	return most * choices
}

func (c *collector) promptTokens() int64 {
	if e := c.ctx.Estimate; e != nil && e.Prompt != nil {
		return *e.Prompt
	}
	text := c.ctx.PromptText
	if text == "" {
		var b textBuffer
		for _, key := range []string{"system", "instructions", "messages", "contents", "prompt", "input", "texts", "query", "documents", "tools"} {
			b.walk(c.request.get(key), true)
		}
		text = b.String()
	}
	return c.count(text)
}

func (c *collector) completionTokens() int64 {
	if e := c.ctx.Estimate; e != nil && e.Completion != nil {
		return *e.Completion
	}
	return c.count(c.output.String())
}

func (c *collector) count(text string) int64 {
	if text == "" {
		return 0
	}
	if c.ctx.Count != nil {
		return int64(c.ctx.Count(c.ctx.Model, text))
	}
	return int64(CountTokens(c.ctx.Model, text))
}
