package training

import (
	"math"

	"github.com/stratahq/strata/infra/roofline"
)

// Constants are the shares of peak per GPU generation and the losses per stack:
// everything that is fitted.
type Constants struct {
	Efficiency map[string]roofline.Efficiency // by generation
	Slow       map[string]float64             // by stack's slow name
}

// parameter is one fitted constant: its prior, what physics or a data sheet
// would say before any measurement, and how many e-folds it may reasonably lie
// from that.
type parameter struct {
	name  string
	prior float64
	sd    float64
	set   func(*Constants, float64)
}

// parameters lists every fitted constant. Priors of the shares: cuBLAS reaches
// about 80 to 90 % of an A100's peak and about 70 % of an H100's, whose clock
// falls under its power limit; kernels stream at about 80 % of memory bandwidth
// (aiconfigurator's system files); Calculon takes 65 % of NVLink and 90 % of the
// network; fused attention reaches about half of an A100's peak and less
// backward (Dao, arXiv 2307.08691, 2023-07).
func parameters() []parameter {
	var list []parameter
	type field struct {
		name      string
		prior, sd float64
		at        func(*roofline.Efficiency) *float64
	}
	for _, gen := range []string{"ampere", "hopper"} {
		gemm, flash, back := 0.85, 0.5, 0.4
		if gen == "hopper" {
			gemm, flash, back = 0.70, 0.40, 0.33
		}
		fields := []field{
			{"gemm", gemm, 0.08, func(e *roofline.Efficiency) *float64 { return &e.Gemm }},
			{"wave", 0.4, 0.5, func(e *roofline.Efficiency) *float64 { return &e.Wave }},
			{"k0", 100, 0.5, func(e *roofline.Efficiency) *float64 { return &e.K0 }},
			{"memory", 0.8, 0.1, func(e *roofline.Efficiency) *float64 { return &e.Memory }},
			{"flash", flash, 0.1, func(e *roofline.Efficiency) *float64 { return &e.Flash }},
			{"flash_back", back, 0.1, func(e *roofline.Efficiency) *float64 { return &e.FlashBack }},
			{"link", 0.7, 0.15, func(e *roofline.Efficiency) *float64 { return &e.Link }},
			{"network", 0.8, 0.2, func(e *roofline.Efficiency) *float64 { return &e.Network }},
			{"hop", 3e-6, 0.4, func(e *roofline.Efficiency) *float64 { return &e.Hop }},
			{"contention", 0.2, 0.4, func(e *roofline.Efficiency) *float64 { return &e.Contention }},
		}
		if gen == "hopper" {
			fields = append(fields, field{"fp8", 0.8, 0.15, func(e *roofline.Efficiency) *float64 { return &e.FP8 }})
		}
		for _, f := range fields {
			list = append(list, parameter{gen + "." + f.name, f.prior, f.sd, func(c *Constants, v float64) {
				e := c.Efficiency[gen]
				*f.at(&e) = v
				c.Efficiency[gen] = e
			}})
		}
	}
	for _, s := range []struct {
		name      string
		prior, sd float64
	}{
		{"megatron-2021", 1.05, 0.08}, {"megatron-2022", 1.02, 0.05}, {"llm-foundry", 1.03, 0.05},
		// Runs that keep every activation fill the memory to the brim, and the
		// allocator retries. Fused attention of 2023 was written for Ampere and does
		// not use Hopper's instructions (Shah et al. arXiv 2407.08608, 2024-07).
		{"llm-foundry.kept", 1.05, 0.05}, {"llm-foundry.attention", 1.4, 0.4},
		// Context parallelism runs attention in blocks around a ring.
		{"ring", 1.2, 0.3},
		{"torchtitan", 1.2, 0.15}, // half a 700 W card's power limit is gone
	} {
		list = append(list, parameter{"loss." + s.name, s.prior, s.sd, func(c *Constants, v float64) { c.Slow[s.name] = v }})
	}
	return list
}

// blindPrior is the prior loss of a whole run whose layout is not known:
// failures, restarts, evaluations and a layout that was not the best.
const blindPrior, blindSD = 1.15, 0.15

// constantsAt builds constants from logarithms of the ratio to the priors.
func constantsAt(list []parameter, x []float64) Constants {
	c := Constants{Efficiency: map[string]roofline.Efficiency{}, Slow: map[string]float64{"blind": blindPrior}}
	for i, p := range list {
		p.set(&c, p.prior*math.Exp(x[i]))
	}
	// Nothing but GPT-3's one run was measured on Volta: it takes Ampere's
	// shares, so that no constant rests on a single case.
	c.Efficiency["volta"] = c.Efficiency["ampere"]
	return c
}

// Device joins a GPU with its generation's constants. A generation that was
// never measured takes those of the nearest: Hopper.
func (c *Constants) Device(gpu *roofline.GPU) roofline.Device {
	e, ok := c.Efficiency[gpu.Generation]
	if !ok {
		e = c.Efficiency["hopper"]
	}
	return roofline.Device{GPU: gpu, Eff: e}
}

// Stack is a kind of training software with its fitted loss.
func (c *Constants) Stack(name string) (Stack, error) {
	i, err := stackIndex(name)
	if err != nil {
		return Stack{}, err
	}
	s := stacks[i].Stack
	s.Slow = c.Slow[stacks[i].slow]
	if s.Slow == 0 {
		s.Slow = 1
	}
	s.Kept, s.AttentionSlow, s.RingSlow = 1, 1, max(1, c.Slow["ring"])
	if v := c.Slow[stacks[i].slow+".kept"]; v > 0 && stacks[i].Name == stacks[i].slow {
		s.Kept, s.AttentionSlow = v, c.Slow[stacks[i].slow+".attention"]
	}
	return s, nil
}
