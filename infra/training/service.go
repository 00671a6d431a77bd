package training

import (
	"errors"
	"fmt"
	"math"

	"github.com/stratahq/strata/infra/roofline"
)

// ServiceDay is the work of one day of a public inference service.
type ServiceDay struct {
	InputTokens, CachedTokens, OutputTokens float64
	// TokensPerUser is the speed that a user sees, in tokens/s, and Context the
	// mean length of the cache behind an output token.
	TokensPerUser, Context float64
	// PrefillGroup and DecodeGroup are the GPUs over which experts are spread.
	PrefillGroup, DecodeGroup int
	// Lease is USD per GPU-hour; the prices are USD per million tokens.
	Lease, PriceCached, PriceInput, PriceOutput float64
}

// Revenue is what the day's tokens would bring if all were billed, in USD.
func (d ServiceDay) Revenue() float64 {
	return (d.CachedTokens*d.PriceCached + (d.InputTokens-d.CachedTokens)*d.PriceInput + d.OutputTokens*d.PriceOutput) / 1e6
}

// Cost is the lease of nodes of eight GPUs for the day, in USD.
func (d ServiceDay) Cost(nodes float64) float64 { return nodes * 8 * 24 * d.Lease }

// DeepSeekDay is 27 to 28 February 2025 as its operators published it
// (deepseek-ai/open-infra-index, day 6, CC0); the speed is the middle of 20 to 22.
var DeepSeekDay = ServiceDay{InputTokens: 608e9, CachedTokens: 342e9, OutputTokens: 168e9, TokensPerUser: 21, Context: 4989, PrefillGroup: 32, DecodeGroup: 144,
	Lease: 2, PriceCached: 0.14, PriceInput: 0.55, PriceOutput: 2.19}

// ServiceNodes is the mean number of eight-GPU nodes that serve a day's tokens
// of a mixture-of-experts model with latent attention: prefill by arithmetic and
// expert messages, decode at the batch whose step takes as long as the users'
// speed allows. Both run two half batches against each other, so that the longer
// of computing and messages counts.
func (c *Constants) ServiceNodes(s *Shape, gpu *roofline.GPU, day ServiceDay) (float64, error) {
	if s.MoE == nil || s.MLA == nil {
		return 0, errors.New("the service model needs experts and latent attention")
	}
	d := c.Device(gpu)
	const seconds = 86400
	input := (day.InputTokens - day.CachedTokens) / seconds
	// Prefill: a batch of 8,192 tokens per GPU (half of it counts at a time).
	const batch = 8192.0
	t, err := servingPass(d, s, batch, 0, day.Context, day.PrefillGroup)
	if err != nil {
		return 0, err
	}
	prefill := input / (batch / t)
	// Decode: the largest batch that keeps the speed.
	limit := 1 / day.TokensPerUser
	lo, hi := 1.0, 4096.0
	kv := float64(s.Layers) * float64(s.MLA.KV+s.MLA.Rope) * half * day.Context
	total, _ := s.Params()
	weights := total / float64(day.DecodeGroup) * 1.2
	if room := (gpu.Memory*usable*0.95 - weights - float64(s.Layers)*numbers(s.attention())) / kv; room < hi {
		hi = math.Max(1, room)
	}
	for range 40 {
		mid := (lo + hi) / 2
		t, err := servingPass(d, s, mid, mid, day.Context, day.DecodeGroup)
		if err != nil {
			return 0, err
		}
		if t > limit {
			hi = mid
		} else {
			lo = mid
		}
	}
	if lo < 1.01 {
		return 0, fmt.Errorf("no batch reaches %.3g tokens/s per user on %s", day.TokensPerUser, gpu.Name)
	}
	decode := day.OutputTokens / seconds / (lo * day.TokensPerUser)
	return (prefill + decode) / 8, nil
}

// flashMLA is the rate of DeepSeek's own attention kernel in FLOP/s.
const flashMLA = 580e12

// servingPass is the time of one pass of tokens through all layers on one GPU of
// an expert group, in seconds. decode is the number of sequences that read their
// cache (zero for prefill).
//
// Attention runs at what FlashMLA states for this GPU in February 2025: 580
// TFLOP/s and 3,000 GB/s (deepseek-ai/FlashMLA, README of 2025-02).
func servingPass(d roofline.Device, s *Shape, tokens, decode, context float64, group int) (float64, error) {
	if _, err := d.PeakOf("fp8"); err != nil {
		return 0, err
	}
	rows := tokens / 2 // two half batches
	compute := 0.0
	for _, m := range s.attention() {
		compute += d.Gemm("fp8", rows, float64(m.out), float64(m.in), 1, 1)
	}
	a := s.MLA
	heads := float64(s.Heads)
	if decode > 0 {
		// Queries are projected into the latent space, so that the cache is read
		// once for all heads.
		flop := rows * heads * 2 * context * float64(2*a.KV+a.Rope)
		read := rows * context * float64(a.KV+a.Rope) * half
		compute += math.Max(flop/flashMLA, read/3000e9)
	} else {
		compute += rows * context / 2 * 4 * s.coreWidth() / flashMLA
	}
	m := s.MoE
	mine := math.Ceil(float64(m.Experts+32) / float64(group)) // 32 redundant ones
	for _, x := range s.mlp(m.FFN) {
		compute += d.Gemm("fp8", rows*float64(m.Active)/mine, float64(x.out), float64(x.in), mine, 1)
		compute += d.Gemm("fp8", rows, float64(x.out), float64(x.in), float64(m.Shared), 1)
	}
	compute += d.Stream(rows*float64(s.Hidden)*(2*2+2*3+2*1)*half, 12)
	// Dispatch in one byte, combine in two. Prefill sends a token once to each of
	// at most four nodes; decode sends it to each of its experts.
	copies := float64(m.Active)
	if decode == 0 {
		copies = 4
	}
	near := max(1, d.Domain)
	message := d.AllToAll(rows*copies*float64(s.Hidden), group, near) + d.AllToAll(rows*copies*float64(s.Hidden)*half, group, near)
	one := 2 * d.Overlap(compute, message)
	head := d.Gemm("bf16", tokens, float64(s.Vocab)/float64(group), float64(s.Hidden), 1, half)
	return one*float64(s.Layers) + head, nil
}
