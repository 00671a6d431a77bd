package training

import (
	"errors"
	"fmt"
)

// Recompute says which activations the backward pass computes again.
type Recompute string

// The ways to recompute. Selective recomputes the attention core (Korthikanti
// et al.); op recomputes element-wise operations and every second matrix
// product (torchtitan's per-operator selective checkpointing).
const (
	RecomputeNone      Recompute = "none"
	RecomputeSelective Recompute = "selective"
	RecomputeOp        Recompute = "op"
	RecomputeFull      Recompute = "full"
)

// Shard says what data-parallel ranks divide among themselves: ZeRO's stages.
type Shard int

// ZeRO stages: nothing, optimizer state, and gradients, and parameters (FSDP).
const (
	ShardNone Shard = iota
	ShardOptimizer
	ShardGradients
	ShardParameters
)

// Layout is how a job is laid over GPUs.
type Layout struct {
	TP, PP, DP, EP, CP      int // tensor, pipeline, data, expert, context parallel
	Interleave              int // model chunks per pipeline stage
	MicroBatch, GlobalBatch int // sequences
	SeqLen                  int
	Recompute               Recompute
	SequenceParallel        bool
	Shard                   Shard
	Precision               string // of matrix products: fp16, bf16, fp8
	// OffloadOptimizer keeps optimizer state in the host's memory and lets the
	// host's processors make the step (ZeRO-Offload, Ren et al. arXiv 2101.06840,
	// 2021-01); OffloadActivations moves kept activations there until the backward
	// pass needs them.
	OffloadOptimizer, OffloadActivations bool
}

// GPUs is how many the layout uses; expert parallelism runs over data ranks.
func (l Layout) GPUs() int { return l.TP * l.PP * l.DP * l.CP }

// MicroBatches is how many micro-batches a pipeline works off in a step.
func (l Layout) MicroBatches() int { return l.GlobalBatch / (l.DP * l.MicroBatch) }

func (l Layout) String() string {
	s := fmt.Sprintf("tp%d pp%d dp%d cp%d ep%d v%d mb%d gb%d %s zero%d", l.TP, l.PP, l.DP, l.CP, l.EP, l.Interleave, l.MicroBatch, l.GlobalBatch, l.Recompute, l.Shard)
	if l.OffloadOptimizer {
		s += " offload-optimizer"
	}
	if l.OffloadActivations {
		s += " offload-activations"
	}
	return s
}

// withDefaults puts 1 where nothing was said.
func (l Layout) withDefaults() Layout {
	for _, p := range []*int{&l.TP, &l.PP, &l.DP, &l.EP, &l.CP, &l.Interleave} {
		if *p == 0 {
			*p = 1
		}
	}
	if l.Recompute == "" {
		l.Recompute = RecomputeNone
	}
	if l.Precision == "" {
		l.Precision = "bf16"
	}
	return l
}

// ErrLayout is a layout that cannot run, with the reason.
var ErrLayout = errors.New("the layout cannot run")

func layoutf(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrLayout}, args...)...)
}

// Check refuses a layout that does not divide a model and a batch evenly.
func (l Layout) Check(s *Shape) error {
	for _, p := range []struct {
		name string
		n    int
	}{{"tensor parallel", l.TP}, {"pipeline parallel", l.PP}, {"data parallel", l.DP}, {"expert parallel", l.EP}, {"context parallel", l.CP},
		{"interleave", l.Interleave}, {"micro-batch", l.MicroBatch}, {"global batch", l.GlobalBatch}, {"sequence length", l.SeqLen}} {
		if p.n < 1 {
			return layoutf("%s is %d, and must be at least 1", p.name, p.n)
		}
	}
	switch {
	case s.Heads%l.TP != 0:
		return layoutf("tensor parallel %d does not divide %d heads", l.TP, s.Heads)
	case l.PP*l.Interleave > s.Layers:
		return layoutf("%d pipeline stages of %d chunks need as many layers, %s has %d", l.PP, l.Interleave, s.Name, s.Layers)
	case l.GlobalBatch%l.DP != 0:
		return layoutf("data parallel %d does not divide a global batch of %d", l.DP, l.GlobalBatch)
	case l.GlobalBatch < l.DP*l.MicroBatch:
		return layoutf("a global batch of %d is less than one micro-batch of %d on each of %d data ranks", l.GlobalBatch, l.MicroBatch, l.DP)
	case l.Interleave > 1 && l.PP == 1:
		return layoutf("interleaving needs a pipeline")
	case l.Interleave > 1 && l.MicroBatches()%l.PP != 0:
		return layoutf("interleaving needs micro-batches (%d) in multiples of the stages (%d)", l.MicroBatches(), l.PP)
	case l.SeqLen%l.CP != 0:
		return layoutf("context parallel %d does not divide a sequence of %d", l.CP, l.SeqLen)
	case l.Shard >= ShardGradients && l.PP > 1 && l.Interleave > 1 && l.Shard == ShardGradients:
		return layoutf("sharded gradients with an interleaved pipeline are not modelled; use ZeRO 1 or 3")
	case l.Shard < ShardNone || l.Shard > ShardParameters:
		return layoutf("shard %d is not a ZeRO stage (0 to 3)", l.Shard)
	}
	if m := s.MoE; m == nil && l.EP > 1 {
		return layoutf("expert parallel %d for %s, which has no experts", l.EP, s.Name)
	} else if m != nil && (m.Experts%l.EP != 0 || (l.DP*l.CP*l.TP)%l.EP != 0) {
		return layoutf("expert parallel %d must divide %d experts and the %d ranks of a stage", l.EP, m.Experts, l.DP*l.CP*l.TP)
	}
	switch l.Recompute {
	case RecomputeNone, RecomputeSelective, RecomputeOp, RecomputeFull:
	default:
		return layoutf("recompute %q is not none, selective, op or full", l.Recompute)
	}
	return nil
}
