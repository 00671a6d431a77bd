package training

import (
	"errors"
	"fmt"
	"math"

	"github.com/stratahq/strata/infra/roofline"
)

// Predict says what a case should have measured. It is given the case's
// configuration and never its measurement.
func (c *Constants) Predict(k *Case) (float64, Layout, error) {
	switch k.Quantity {
	case QuantityNodes:
		v, err := c.ServiceNodes(k.Shape, k.GPU, DeepSeekDay)
		return v, Layout{}, err
	case QuantityCost:
		v, err := c.ServiceNodes(k.Shape, k.GPU, DeepSeekDay)
		return DeepSeekDay.Cost(v), Layout{}, err
	case QuantityRevenue:
		return DeepSeekDay.Revenue(), Layout{}, nil
	}
	st, err := c.Stack(k.Stack)
	if err != nil {
		return 0, Layout{}, err
	}
	if k.GPU.Generation != "hopper" {
		st.AttentionSlow = 1
	}
	d := c.Device(k.GPU)
	l := k.Layout
	switch k.Quantity {
	case QuantityActivation, QuantityPeak:
		l = l.withDefaults()
		if l.DP == 1 && k.GPUs > 0 && k.Layout.DP == 0 {
			l.DP = max(1, k.GPUs/(l.TP*l.PP*l.CP))
		}
		if l.MicroBatch == 0 {
			return 0, l, fmt.Errorf("%s needs micro_batch", k.Quantity)
		}
		if err := l.Check(k.Shape); err != nil {
			return 0, l, err
		}
		if k.Quantity == QuantityPeak {
			return MemoryOf(k.Shape, l, st, st.State).Total() / (1 << 30), l, nil
		}
		return Activations(k.Shape, l, st) / (1 << 30), l, nil
	case QuantityHours:
		if k.Tokens == 0 {
			return 0, l, errors.New("gpu_hours needs the column tokens")
		}
		sizes := []int{k.GPUs}
		if k.GPUs == 0 {
			sizes = []int{128, 256, 512, 1024}
		}
		best, at := math.Inf(1), l
		var failed error
		for _, gpus := range sizes {
			perSequence, f, err := blindRate(d, k.Shape, l, gpus, st, 1)
			if err != nil {
				failed = err
				continue
			}
			if h := perSequence * k.Tokens / float64(l.SeqLen) * float64(gpus) / 3600; h < best {
				best, at = h, f.Layout
			}
		}
		if math.IsInf(best, 1) {
			return 0, l, failed
		}
		return best, at, nil
	case QuantityRatio:
		if k.Tokens == 0 {
			return 0, l, errors.New("time_ratio needs the number of GPUs compared with in the column tokens")
		}
		many, f, err := blindRate(d, k.Shape, l, k.GPUs, st, 4)
		if err != nil {
			return 0, l, err
		}
		few, _, err := blindRate(d, k.Shape, l, int(k.Tokens), st, 4)
		if err != nil {
			return 0, l, err
		}
		return many / few, f.Layout, nil
	}
	gpus := k.GPUs
	if gpus == 0 {
		gpus = l.withDefaults().GPUs()
	}
	if k.Layout.TP > 0 && k.Layout.PP > 0 && k.Layout.DP == 0 {
		l.DP = gpus / (l.TP * l.PP * max(1, l.CP))
	}
	var t Times
	if l.TP > 0 && l.PP > 0 && l.MicroBatch > 0 && (l.Interleave > 0 || l.PP == 1) && l.Recompute != "" {
		l = l.withDefaults()
		if t, err = StepTime(d, k.Shape, l, st); err != nil {
			return 0, l, err
		}
	} else {
		f, err := BestLayout(d, k.Shape, l, gpus, st, true)
		if err != nil {
			return 0, l, err
		}
		l, t = f.Layout, f.Times
	}
	tokens := float64(l.GlobalBatch) * float64(l.SeqLen)
	switch k.Quantity {
	case QuantityStepTime:
		return t.Step, l, nil
	case QuantityTokens:
		return tokens / t.Step / float64(gpus), l, nil
	case QuantityHardware:
		return hardwareFLOP(k.Shape, float64(l.GlobalBatch), float64(l.SeqLen)) / t.Step / float64(gpus) / 1e12, l, nil
	case QuantityModel:
		return k.Shape.FLOPs(tokens, float64(l.SeqLen), false) / t.Step / float64(gpus) / 1e12, l, nil
	}
	return 0, l, fmt.Errorf("quantity %q is not one that the model predicts", k.Quantity)
}

// hardwareFLOP is the arithmetic of a step with full recomputation as Megatron
// counts it (SC'21, equation 3), in FLOP.
func hardwareFLOP(s *Shape, batch, seq float64) float64 {
	l, h, v := float64(s.Layers), float64(s.Hidden), float64(s.Vocab)
	return 96 * batch * seq * l * h * h * (1 + seq/(6*h) + v/(16*l*h))
}

// blindRate is the time per sequence of the best layout that fits, in seconds,
// where the batch may be rounded to what the data ranks divide, but is never
// less than half or more than twice what was said (or grow times, where that is
// more), and where GPUs that do not divide stay idle.
func blindRate(d roofline.Device, s *Shape, known Layout, gpus int, st Stack, grow int) (float64, Found, error) {
	best := math.Inf(1)
	var found Found
	var nearest error
	for tp := 1; tp <= max(1, d.Domain); tp *= 2 {
		if s.Heads%tp != 0 {
			continue
		}
		for pp := 1; pp <= min(s.Layers, gpus/tp, 64); pp++ {
			if s.Layers%pp != 0 && (pp&(pp-1) != 0 || pp > 16) {
				continue
			}
			dp := gpus / (tp * pp)
			for times := 1; times <= grow; times++ {
				gb := max(1, int(math.Round(float64(times*known.GlobalBatch)/float64(dp)))) * dp
				if gb > max(2, grow)*known.GlobalBatch || 2*gb < known.GlobalBatch {
					continue
				}
				l := known
				l.TP, l.PP, l.DP, l.GlobalBatch = tp, pp, dp, gb
				l.SequenceParallel = tp > 1
				for _, shard := range []Shard{ShardOptimizer, ShardParameters} {
					if shard == ShardParameters && pp > 1 {
						continue
					}
					l.Shard = shard
					f, err := BestLayout(d, s, l, tp*pp*dp, st, true)
					if err != nil {
						nearest = err
						continue
					}
					if rate := f.Times.Step / float64(gb); rate < best {
						best, found = rate, f
					}
				}
			}
		}
	}
	if math.IsInf(best, 1) {
		if nearest == nil {
			nearest = fmt.Errorf("%w: no division of %d GPUs suits %s and a global batch near %d", ErrLayout, gpus, s.Name, known.GlobalBatch)
		}
		return 0, found, nearest
	}
	return best, found, nil
}
