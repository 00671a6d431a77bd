package training

import (
	"fmt"
	"math"

	"github.com/stratahq/strata/infra/roofline"
)

// State is what training keeps per parameter, in bytes.
type State struct {
	Weight, Gradient, Optimizer float64
}

// MixedAdam is mixed-precision training with Adam: half-precision weights,
// 32-bit gradients (as Megatron accumulates them), and 32-bit master weights and
// two moments: 18 bytes a parameter.
var MixedAdam = State{Weight: 2, Gradient: 4, Optimizer: 12}

// HalfGradients keeps gradients in half precision: 16 bytes a parameter, as in
// ZeRO (Rajbhandari et al. arXiv 1910.02054, 2019-10).
var HalfGradients = State{Weight: 2, Gradient: 2, Optimizer: 12}

// FP8Adam is DeepSeek-V3's: 16-bit weights and moments, 32-bit master weights
// and gradients (arXiv 2412.19437, section 3.3.3).
var FP8Adam = State{Weight: 2, Gradient: 4, Optimizer: 8}

// Memory is what one GPU holds at the worst moment, in bytes, on the pipeline
// stage that holds most.
type Memory struct {
	Weights, Gradients, Optimizer, Activations float64
	// Working is what is alive for a moment: gathered parameters of FSDP, logits,
	// one layer's activations while it is recomputed, and the reserve of driver
	// and collectives.
	Working float64
}

// Total is the sum in bytes.
func (m Memory) Total() float64 {
	return m.Weights + m.Gradients + m.Optimizer + m.Activations + m.Working
}

// reserve is what the driver, CUDA context and NCCL take, in bytes; about what
// aiconfigurator's systems files state for eight GPUs (Apache-2.0).
const reserve = 1.5 * (1 << 30)

// ErrDoesNotFit is a layout whose state does not fit the GPU's memory.
type ErrDoesNotFit struct {
	Layout Layout
	Memory Memory
	GPU    string
	Have   float64
}

// Error says what takes the memory.
func (e *ErrDoesNotFit) Error() string {
	g := func(b float64) string { return fmt.Sprintf("%.1f", b/(1<<30)) }
	return fmt.Sprintf("does not fit: %s GiB on a %s of %s GiB (weights %s, gradients %s, optimizer %s, activations %s, working set %s) with %s",
		g(e.Memory.Total()), e.GPU, g(e.Have), g(e.Memory.Weights), g(e.Memory.Gradients), g(e.Memory.Optimizer), g(e.Memory.Activations), g(e.Memory.Working), e.Layout)
}

// Is makes errors.Is(err, ErrLayout) hold.
func (e *ErrDoesNotFit) Is(target error) bool { return target == ErrLayout }

// LayerActivations is what one layer keeps for its backward pass for one
// micro-batch on one GPU, in bytes: Korthikanti et al. (arXiv 2205.05198,
// section 4) for two bytes a number, written out by operation so that gated
// MLPs, grouped heads and kernels that keep no attention matrix are covered.
func LayerActivations(s *Shape, l Layout, st Stack) float64 {
	t := float64(l.TP)
	tokens := float64(l.MicroBatch) * float64(l.SeqLen) / float64(l.CP)
	h := float64(s.Hidden)
	spread := 1.0
	if l.SequenceParallel {
		spread = t
	}
	if l.Recompute == RecomputeFull {
		return tokens * h * 2 / spread
	}
	drop := 0.0
	if st.Dropout {
		drop = 1
	}
	q, kv := float64(s.Heads*s.HeadDim), float64(s.KVHeads*s.HeadDim)
	if a := s.MLA; a != nil {
		q, kv = float64(s.Heads*(a.Nope+a.Rope)), float64(s.Heads*(a.Nope+a.V))/2
	}
	// Two norms keep their input; the two matrices after them keep theirs; two
	// dropouts keep a mask.
	bytes := tokens * h / spread * (2*2 + 2*2 + 2*drop)
	// Query, key, value and the input of the output projection.
	bytes += tokens / t * 2 * (q + 2*kv + s.coreWidth())
	// The MLP's inner activations and the input of its second matrix.
	width := float64(s.FFN)
	if m := s.MoE; m != nil {
		width = float64(m.FFN) * float64(m.Active+m.Shared)
	}
	inner := 2.0
	if s.Gated {
		inner = 3
	}
	if l.Recompute == RecomputeOp {
		inner = 1
	}
	bytes += tokens / t * 2 * width * inner
	if !st.Flash && l.Recompute != RecomputeSelective {
		// Softmax output, its dropout's mask and the dropout's output.
		bytes += tokens * float64(l.SeqLen) * float64(s.Heads) / t * (2 + drop*3)
	}
	return bytes
}

// Activations is what the first pipeline stage keeps, in bytes: it holds the
// activations of as many micro-batches as there are stages, and interleaving
// adds (p-1)/(p·v) of that (Korthikanti et al., section 4.2.3). With fewer
// micro-batches than stages it holds fewer.
func Activations(s *Shape, l Layout, st Stack) float64 {
	p := float64(l.PP)
	flight := p
	if l.Interleave > 1 {
		flight = p * (1 + (p-1)/(p*float64(l.Interleave)))
	}
	if m := float64(l.MicroBatches()); m > 0 {
		flight = math.Min(flight, m)
	}
	return LayerActivations(s, l, st) * float64(s.Layers) / p * flight
}

// local is how many parameters the fullest pipeline stage has on one GPU before
// data-parallel sharding: dense ones and experts.
func local(s *Shape, l Layout) (dense, experts float64) {
	t := float64(l.TP)
	layers := math.Ceil(float64(s.Layers) / float64(l.PP))
	per := numbers(s.attention()) + 4*float64(s.Hidden)*t
	if s.MoE == nil {
		per += numbers(s.mlp(s.FFN))
	} else {
		m := s.MoE
		per += numbers(s.mlp(m.FFN))*float64(m.Shared) + float64(s.Hidden*m.Experts)
		share := float64(s.moeLayers()) / float64(s.Layers)
		experts = layers * share * numbers(s.mlp(m.FFN)) * float64(m.Experts) / float64(l.EP)
		per += (1 - share) * numbers(s.mlp(s.FFN))
	}
	embedding := s.embedding()
	if l.PP > 1 && !s.Tied {
		embedding /= 2
	}
	return (layers*per + embedding) / t, experts
}

// MemoryOf is the memory of one GPU. The state of a stack says how many bytes a
// parameter takes; the ZeRO stage divides them over data and context ranks.
func MemoryOf(s *Shape, l Layout, st Stack, state State) Memory {
	dense, experts := local(s, l)
	ranks := float64(l.DP * l.CP)
	expertRanks := math.Max(1, ranks*float64(l.TP)/float64(l.EP))
	div := func(stage Shard, bytes float64) float64 {
		if l.Shard >= stage {
			return bytes * (dense/ranks + experts/expertRanks)
		}
		return bytes * (dense + experts)
	}
	m := Memory{
		Weights:     div(ShardParameters, state.Weight),
		Gradients:   div(ShardGradients, state.Gradient),
		Optimizer:   div(ShardOptimizer, state.Optimizer),
		Activations: Activations(s, l, st),
	}
	m.Working = reserve
	if l.OffloadOptimizer {
		m.Optimizer = 0
	}
	if l.OffloadActivations {
		// Two layers are in flight.
		m.Activations = math.Min(m.Activations, 2*LayerActivations(s, l, st))
	}
	layer := dense / math.Ceil(float64(s.Layers)/float64(l.PP))
	if l.Shard == ShardParameters {
		// The gathered layer and the next one, and a gradient of one.
		m.Working += layer * (2*state.Weight + state.Gradient)
		if l.PP > 1 {
			// Micro-batches follow each other too quickly to gather for each: a
			// stage keeps its weights and gradients whole during a step.
			m.Working += (dense + experts) * (state.Weight + state.Gradient)
		}
	}
	tokens := float64(l.MicroBatch) * float64(l.SeqLen) / float64(l.CP)
	if l.PP == 1 {
		// Logits in half precision, and in 32 bits with their gradient in their
		// place; or half precision alone.
		perLogit := 8.0
		if st.FusedLoss {
			perLogit = 2
		}
		m.Working += tokens * float64(s.Vocab) / float64(l.TP) * perLogit
	}
	if l.Recompute == RecomputeFull {
		one := l
		one.Recompute = RecomputeNone
		m.Working += LayerActivations(s, one, st)
	}
	return m
}

// usable is the share of the memory that is left after fragmentation.
const usable = 0.96

// Fits returns nil when a layout fits a GPU, and an [*ErrDoesNotFit] when it does not.
func Fits(s *Shape, l Layout, st Stack, state State, gpu *roofline.GPU) error {
	m := MemoryOf(s, l, st, state)
	if m.Total() > gpu.Memory*usable {
		return &ErrDoesNotFit{Layout: l, Memory: m, GPU: gpu.Name, Have: gpu.Memory}
	}
	return nil
}
