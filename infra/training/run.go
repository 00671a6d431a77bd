package training

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/stratahq/strata/infra/roofline"
)

// Run is a whole training run to estimate.
type Run struct {
	Shape  *Shape
	Tokens float64
	GPU    *roofline.GPU
	GPUs   int
	// Layout holds what is decided; fields left at zero are searched.
	Layout Layout
	// Stack is the software: "" means good current software, and times of steps
	// to which Failures and Wasted are added. "blind" means a run as whole runs
	// turned out: its loss is fitted on published GPU-hours and covers failures,
	// restarts and evaluations, so that Failures must then be empty.
	Stack    string
	Failures Failures
	// Wasted is the share of all GPU time that goes to experiments which fail or
	// are thrown away, from 0 to below 1.
	Wasted float64
	// Price is USD per GPU-hour.
	Price float64
}

// Estimate is what a run takes.
type Estimate struct {
	Layout Layout
	Memory Memory
	Times  Times
	GPUs   int
	// FLOP is the model's arithmetic without recomputation; MFU its share of the
	// cluster's peak during a step, before failures.
	FLOP, MFU float64
	// TokensPerSecond is of the whole cluster, during steps.
	TokensPerSecond float64
	// Goodput is the share of wall time that lasts, Interval the hours between
	// checkpoints.
	Goodput, Interval float64
	// Hours is wall time of the run, GPUHours what it occupies with wasted
	// experiments added, Cost their price in USD.
	Hours, GPUHours, Cost float64
}

// ErrRun is a run that cannot be, with the reason.
var ErrRun = errors.New("the run cannot be estimated")

// Estimate predicts time and cost of a run with constants c, on the layout given
// or the best one that fits.
func (c *Constants) Estimate(r Run) (Estimate, error) {
	if r.Shape == nil || r.GPU == nil {
		return Estimate{}, fmt.Errorf("%w: it needs a model and a GPU", ErrRun)
	}
	if err := errors.Join(r.Shape.Validate(), r.GPU.Validate(), r.Failures.Validate()); err != nil {
		return Estimate{}, fmt.Errorf("%w: %w", ErrRun, err)
	}
	switch {
	case !(r.Tokens > 0) || math.IsInf(r.Tokens, 0):
		return Estimate{}, fmt.Errorf("%w: tokens are %v, and must be above zero", ErrRun, r.Tokens)
	case r.GPUs < 1:
		return Estimate{}, fmt.Errorf("%w: %d GPUs", ErrRun, r.GPUs)
	case !(r.Wasted >= 0 && r.Wasted < 1):
		return Estimate{}, fmt.Errorf("%w: the share of failed experiments is %v, and must be from 0 to below 1", ErrRun, r.Wasted)
	case !(r.Price >= 0):
		return Estimate{}, fmt.Errorf("%w: the price is %v USD/h", ErrRun, r.Price)
	case strings.HasPrefix(r.Stack, "blind") && r.Failures != (Failures{}):
		return Estimate{}, fmt.Errorf("%w: the stack %q covers failures already; leave them out, or name other software", ErrRun, r.Stack)
	case r.Layout.SeqLen < 1 || r.Layout.GlobalBatch < 1:
		return Estimate{}, fmt.Errorf("%w: it needs a sequence length and a global batch", ErrRun)
	}
	name := r.Stack
	if name == "" {
		name = "fsdp-compile"
		if r.GPU.Generation == "volta" {
			name = "blind-unfused"
		}
	}
	st, err := c.Stack(name)
	if err != nil {
		return Estimate{}, fmt.Errorf("%w: %w", ErrRun, err)
	}
	if r.Layout.Precision == "" {
		r.Layout.Precision = "bf16"
	}
	found, err := BestLayout(c.Device(r.GPU), r.Shape, r.Layout, r.GPUs, st, true)
	if err != nil {
		return Estimate{}, err
	}
	goodput, interval, err := r.Failures.Goodput(r.GPUs)
	if err != nil {
		return Estimate{}, err
	}
	if goodput <= 0 {
		return Estimate{}, fmt.Errorf("%w: failures come faster than %d GPUs make progress (MTBF %.3g h per GPU, restart %.3g h)", ErrRun, r.GPUs, r.Failures.MTBF, r.Failures.Restart)
	}
	e := Estimate{Layout: found.Layout, Memory: found.Memory, Times: found.Times, GPUs: r.GPUs, Goodput: goodput, Interval: interval}
	perStep := float64(found.Layout.GlobalBatch) * float64(found.Layout.SeqLen)
	e.TokensPerSecond = perStep / found.Times.Step
	e.FLOP = r.Shape.FLOPs(r.Tokens, float64(found.Layout.SeqLen), true)
	peak, err := r.GPU.PeakOf(found.Layout.Precision)
	if err != nil {
		return Estimate{}, err
	}
	e.MFU = r.Shape.FLOPs(perStep, float64(found.Layout.SeqLen), true) / found.Times.Step / (peak * float64(r.GPUs))
	e.Hours = r.Tokens / e.TokensPerSecond / 3600 / goodput
	e.GPUHours = e.Hours * float64(r.GPUs) / (1 - r.Wasted)
	e.Cost = e.GPUHours * r.Price
	return e, nil
}

// ErrDeadline says that no cluster size meets a deadline, and what the fastest
// takes.
type ErrDeadline struct {
	Deadline float64
	Fastest  Estimate
	Last     error
}

// Error names the fastest that was found.
func (e *ErrDeadline) Error() string {
	if e.Fastest.GPUs == 0 {
		return fmt.Sprintf("no cluster size can run this: %v", e.Last)
	}
	return fmt.Sprintf("no cluster size meets %.4g hours; the fastest is %d GPUs in %.4g hours", e.Deadline, e.Fastest.GPUs, e.Fastest.Hours)
}

func (e *ErrDeadline) Unwrap() error { return e.Last }

// ForDeadline finds the cheapest cluster size, among sizes, that ends a run
// within deadline hours. Sizes that cannot run the layout are passed over.
func (c *Constants) ForDeadline(r Run, deadline float64, sizes []int) (Estimate, error) {
	if !(deadline > 0) || len(sizes) == 0 {
		return Estimate{}, fmt.Errorf("%w: a deadline of %v hours and %d cluster sizes", ErrRun, deadline, len(sizes))
	}
	if r.Price == 0 {
		r.Price = 1 // the cheapest is then the one with fewest GPU-hours
		e, err := c.ForDeadline(r, deadline, sizes)
		e.Cost = 0
		return e, err
	}
	var best, fastest Estimate
	var last error
	for _, n := range sizes {
		r.GPUs = n
		e, err := c.Estimate(r)
		if err != nil {
			if errors.Is(err, ErrRun) {
				return Estimate{}, err
			}
			last = err
			continue
		}
		if fastest.GPUs == 0 || e.Hours < fastest.Hours {
			fastest = e
		}
		if e.Hours <= deadline && (best.GPUs == 0 || e.Cost < best.Cost) {
			best = e
		}
	}
	if best.GPUs == 0 {
		return Estimate{}, &ErrDeadline{deadline, fastest, last}
	}
	return best, nil
}
