package training

import (
	"fmt"
	"math"

	"github.com/stratahq/strata/infra/roofline"
)

// Found is a layout that a search chose, with its time and memory.
type Found struct {
	Layout Layout
	Times  Times
	Memory Memory
	Tried  int
}

// BestLayout searches the layout with the shortest step on gpus GPUs. What
// known says (fields above zero) is kept; the rest is searched: powers of two of
// tensor parallelism within one scale-up domain, pipeline stages that divide the
// layers, interleaving, expert parallelism, micro-batches, recomputation and
// ZeRO stages. Layouts that do not fit the memory are passed over; when none
// fits, the error is the one of the layout that came nearest.
func BestLayout(d roofline.Device, s *Shape, known Layout, gpus int, st Stack, fits bool) (Found, error) {
	best := Found{Times: Times{Step: math.Inf(1)}}
	var nearest error
	least := math.Inf(1)
	choose := func(fixed int, options ...int) []int {
		if fixed > 0 {
			return []int{fixed}
		}
		return options
	}
	var powers []int
	for p := 1; p <= max(1, d.Domain); p *= 2 {
		if s.Heads%p == 0 {
			powers = append(powers, p)
		}
	}
	var stages []int
	for p := 1; p <= s.Layers && p <= gpus && p <= 128; p++ {
		if s.Layers%p == 0 || (s.MoE != nil && p&(p-1) == 0 && p <= 16) {
			stages = append(stages, p)
		}
	}
	modes := []Recompute{known.Recompute}
	if known.Recompute == "" {
		modes = []Recompute{RecomputeNone, RecomputeSelective, RecomputeFull}
		if st.Flash {
			modes = []Recompute{RecomputeNone, RecomputeOp, RecomputeFull}
		}
	}
	cp := max(1, known.CP)
	for _, tp := range choose(known.TP, powers...) {
		for _, pp := range choose(known.PP, stages...) {
			if gpus%(tp*pp*cp) != 0 {
				continue
			}
			dp := gpus / (tp * pp * cp)
			if known.DP > 0 && known.DP != dp || known.GlobalBatch%dp != 0 {
				continue
			}
			experts := []int{1}
			if s.MoE != nil {
				experts = choose(known.EP, 8, 16, 32, 64)
			}
			for _, mb := range choose(known.MicroBatch, 1, 2, 4, 8, 16) {
				if known.GlobalBatch/dp%mb != 0 && known.MicroBatch == 0 {
					continue
				}
				interleaves := []int{1}
				if pp > 1 {
					interleaves = choose(known.Interleave, 1, 2, 3, 4, 5, 6, 8, 12)
				}
				for _, v := range interleaves {
					if v > 1 && known.Interleave == 0 && s.Layers%(pp*v) != 0 {
						continue
					}
					for _, mode := range modes {
						for _, ep := range experts {
							shards := []Shard{known.Shard}
							if known.TP == 0 && known.PP == 0 {
								shards = []Shard{ShardOptimizer}
								if pp == 1 {
									shards = append(shards, ShardParameters)
								}
							}
							for _, shard := range shards {
								l := known
								l.TP, l.PP, l.DP, l.CP, l.EP, l.MicroBatch, l.Interleave, l.Recompute, l.Shard = tp, pp, dp, cp, ep, mb, v, mode, shard
								if known.TP == 0 && tp > 1 {
									l.SequenceParallel = true
								}
								l = l.withDefaults()
								if l.Check(s) != nil {
									continue
								}
								m := MemoryOf(s, l, st, st.State)
								if fits && m.Total() > d.GPU.Memory*usable {
									if over := m.Total(); over < least {
										least = over
										nearest = &ErrDoesNotFit{Layout: l, Memory: m, GPU: d.Name, Have: d.GPU.Memory}
									}
									continue
								}
								t, err := StepTime(d, s, l, st)
								if err != nil {
									return best, err
								}
								best.Tried++
								if t.Step < best.Times.Step {
									best.Layout, best.Times, best.Memory = l, t, m
								}
							}
						}
					}
				}
			}
		}
	}
	if best.Tried == 0 {
		if nearest != nil {
			return best, nearest
		}
		return best, fmt.Errorf("%w: no division of %d GPUs and a global batch of %d suits %s", ErrLayout, gpus, known.GlobalBatch, s.Name)
	}
	return best, nil
}
