package usage

import "github.com/stratahq/strata/model"

// OpenAIUsage reads the usage object of a reply in an OpenAI-shaped wire. It is
// the entry for the hot path: the rest of the reply is not looked at. It returns
// nil when raw is no object or states nothing. Numbers that are missing or
// cannot be true are left at zero with their bucket marked as estimated; pass
// the result to [Reconcile] with what else is known of the call.
func OpenAIUsage(provider, surface string, raw []byte) *model.Usage {
	n, err := parseNode(raw)
	if err != nil || n.kind != 'o' || len(n.keys) == 0 {
		return nil
	}
	provider = canonical(provider)
	k := convention(provider, surface, n)
	if !k.usesTokens() && !k.usesUnits() && len(k.units) == 0 {
		return nil
	}
	none := func() int64 { return 0 }
	u := assemble(k, &environment{noOutput: noCompletion(surface), out: model.Output, prompt: none, completion: none})
	if k.prompt.state != stated && !k.usesUnits() {
		u.Estimated = u.Estimated.With(model.Input)
	}
	if k.completion.state == refused {
		u.Estimated = u.Estimated.With(model.Output)
	}
	facts(u, n)
	if path, divisor := reportedPath(provider); path != nil {
		statedCost(u, n.lookup(path), divisor)
	}
	byok(provider, u, n)
	return u
}

// byok adds what the provider behind OpenRouter bills itself when the call used
// the customer's own key with it: cost is then OpenRouter's fee alone.
func byok(provider string, u *model.Usage, n *node) {
	if provider != "openrouter" || u.ProviderCost == nil || !n.get("is_byok").isTrue() {
		return
	}
	if d, ok := n.at("cost_details", "upstream_inference_cost").decimal(); ok && d.Sign() > 0 {
		total := u.ProviderCost.Add(d)
		u.ProviderCost = &total
	}
}

// Known is what Reconcile needs to judge and complete a usage.
type Known struct {
	// Text says that the reply has output.
	Text bool
	// Cut says that the reply did not come to its own end.
	Cut bool
	// NoOutput says that the operation has no completion (embeddings).
	NoOutput bool
	// Provider is the provider's name; it says whether MaxOutput binds reasoning.
	Provider string
	// MaxOutput is the most output the request allows, over all its choices; 0
	// when unknown.
	MaxOutput int64
	// Prompt and Completion count tokens of the request and of the output so
	// far. They are called only when needed.
	Prompt, Completion func() int64
}

// Reconcile applies the rules for missing and impossible numbers to a usage that
// was read from a reply; nil is a usage that was not stated. The result is a new
// value with every missing side estimated and marked.
func Reconcile(u *model.Usage, k Known) *model.Usage {
	env := &environment{out: model.Output, text: k.Text, cut: k.Cut, noOutput: k.NoOutput, maxOutput: k.MaxOutput, prompt: k.Prompt, completion: k.Completion}
	if u == nil {
		return assemble(nil, env)
	}
	out := *u
	units := !u.Seconds.IsZero() || u.Count[model.Image] > 0 || u.Count[model.SearchUnit] > 0 || u.Count[model.Character] > 0
	completion := u.Completion()
	if k.Text && !units && u.Prompt() == 0 && completion == 0 {
		out.Flag(FlagZeroWithText)
		out.Estimated = out.Estimated.With(model.Input).With(model.Output)
	}
	a := assembler{u: &out, k: &counts{}, env: env}
	if out.Estimated.Has(model.Input) && out.Count[model.Input] == 0 {
		out.Estimated &^= 1 << model.Input
		a.estimate(model.Input, k.Prompt()-u.Prompt(), count{})
	}
	if k.NoOutput {
		return &out
	}
	beside, free := reasoning(k.Provider, u)
	visible := u.Count[model.Output] + u.Count[model.OutputAudio] + u.Count[model.OutputImage]
	wild := k.MaxOutput > 0 && u.Count[model.Reasoning] > k.MaxOutput && !free
	if wild && beside {
		out.Flag(FlagAboveMax)
		out.Count[model.Reasoning] = 0
		out.Estimated = out.Estimated.With(model.Reasoning)
	}
	switch {
	case k.MaxOutput > 0 && visible > k.MaxOutput, wild && !beside:
		out.Flag(FlagAboveMax)
		out.Count[model.Output], out.Count[model.OutputAudio], out.Count[model.OutputImage] = 0, 0, 0
		if !beside {
			// It was a part of the total that is not believed.
			out.Count[model.Reasoning] = 0
		}
	case completion == 0 && k.Text && !units:
		out.Flag(FlagZeroWithText)
	case out.Estimated.Has(model.Output) && out.Count[model.Output] == 0:
	default:
		return &out
	}
	out.Estimated &^= 1 << model.Output
	n := k.Completion()
	if k.MaxOutput > 0 && n > k.MaxOutput {
		out.Flag(FlagCapped)
		n = k.MaxOutput
	}
	a.estimate(model.Output, n, count{})
	return &out
}

// reasoning says where a provider's chat counts it: beside the completion or
// inside, and free of the output limit or bound by it.
func reasoning(provider string, u *model.Usage) (beside, free bool) {
	switch canonical(provider) {
	case "xai", "perplexity":
		return true, true
	case "gemini", "vertex":
		return true, false
	case "qwen", "volcengine":
		return false, true
	}
	// Perplexity's research behind another name.
	research := u.Count[model.Citation]+u.Count[model.SearchQuery] > 0
	return research, research
}
