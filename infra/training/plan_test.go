package training

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestIntervals(t *testing.T) {
	if got := YoungInterval(0.1, 20); math.Abs(got-2) > 1e-12 {
		t.Errorf("Young: %g hours, want 2", got)
	}
	// Daly's correction is small where checkpoints are cheap, and never longer
	// than the time between failures.
	if y, d := YoungInterval(0.001, 100), DalyInterval(0.001, 100); math.Abs(d/y-1) > 0.01 {
		t.Errorf("cheap checkpoints: Young %g, Daly %g", y, d)
	}
	if got := DalyInterval(5, 2); got != 2 {
		t.Errorf("checkpoints longer than the time between failures: every %g hours, want 2", got)
	}
}

func TestDalyIntervalIsBest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := Failures{MTBF: rapid.Float64Range(1e3, 1e6).Draw(t, "mtbf"), Checkpoint: rapid.Float64Range(0.001, 0.5).Draw(t, "write"), Restart: rapid.Float64Range(0, 1).Draw(t, "restart")}
		n := rapid.IntRange(1, 20000).Draw(t, "gpus")
		best, at, err := f.Goodput(n)
		if err != nil {
			t.Fatal(err)
		}
		if f.Checkpoint > f.MTBF/float64(n)/4 {
			return // the approximation is for checkpoints well below the MTBF
		}
		for _, other := range []float64{0.5, 0.8, 1.25, 2} {
			f.Interval = at * other
			if got, _, _ := f.Goodput(n); got > best*1.002 {
				t.Fatalf("every %g hours gives %g, better than %g every %g", f.Interval, got, best, at)
			}
		}
	})
}

// A simulation of failures, restarts and lost work gives the same goodput.
func TestGoodputAgreesWithSimulation(t *testing.T) {
	f := Failures{MTBF: 50000, Checkpoint: 0.05, Restart: 0.2}
	const gpus = 8192
	want, interval, err := f.Goodput(gpus)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	mtbf := f.MTBF / gpus
	clock, done := 0.0, 0.0
	next := rng.ExpFloat64() * mtbf
	for done < 40000 {
		if clock+interval+f.Checkpoint <= next {
			clock += interval + f.Checkpoint
			done += interval
			continue
		}
		clock = next
		for { // restarting can fail as well
			next = clock + rng.ExpFloat64()*mtbf
			if clock+f.Restart <= next {
				clock += f.Restart
				break
			}
			clock = next
		}
	}
	if got := done / clock; math.Abs(got/want-1) > 0.01 {
		t.Errorf("simulated goodput %.4f, Daly's model %.4f", got, want)
	}
}

// Llama 3 405B: more than 90 % effective time on 16,384 GPUs.
func TestLlamaGoodput(t *testing.T) {
	share, interval, err := Failures{MTBF: LlamaMTBF, Checkpoint: 1.0 / 120, Restart: 0.15}.Goodput(16384)
	if err != nil {
		t.Fatal(err)
	}
	if share < 0.88 || share > 0.97 || interval > 1 {
		t.Errorf("goodput %.3f with a checkpoint every %.2f hours; the paper reports over 0.90", share, interval)
	}
}

func TestFailuresRefusals(t *testing.T) {
	if _, _, err := (Failures{MTBF: -1}).Goodput(8); !errors.Is(err, ErrFailures) || !strings.Contains(err.Error(), "MTBF") {
		t.Errorf("a negative MTBF: %v", err)
	}
	if _, _, err := (Failures{MTBF: 100}).Goodput(0); !errors.Is(err, ErrFailures) {
		t.Errorf("no GPUs: %v", err)
	}
	if share, _, err := (Failures{}).Goodput(1000); share != 1 || err != nil {
		t.Errorf("nothing fails: %v, %v", share, err)
	}
	if got, err := CheckpointTime(1e9, 14, 7e9, 0.5); err != nil || math.Abs(got*3600-1) > 1e-9 {
		t.Errorf("a checkpoint takes %v hours (%v), want 1 s", got, err)
	}
	if _, err := CheckpointTime(1e9, 14, 0, 0); !errors.Is(err, ErrFailures) {
		t.Errorf("no bandwidth: %v", err)
	}
}

func llamaRun(t *testing.T) Run {
	return Run{Shape: shape(t, "llama2-7b"), Tokens: 1e11, GPU: gpu(t, "a100-80"), GPUs: 64,
		Layout: Layout{SeqLen: 4096, GlobalBatch: 1024}, Failures: Failures{MTBF: LlamaMTBF, Checkpoint: 0.02, Restart: 0.3}, Price: 2}
}

func TestEstimateOfARun(t *testing.T) {
	c, _ := Default()
	r := llamaRun(t)
	e, err := c.Estimate(r)
	if err != nil {
		t.Fatal(err)
	}
	if e.MFU < 0.35 || e.MFU > 0.75 {
		t.Errorf("MFU %.3f", e.MFU)
	}
	if math.Abs(e.Cost/(e.GPUHours*2)-1) > 1e-12 || math.Abs(e.GPUHours/(e.Hours*64)-1) > 1e-12 {
		t.Errorf("cost %v, GPU-hours %v, hours %v do not belong together", e.Cost, e.GPUHours, e.Hours)
	}
	// The same from arithmetic: FLOP over MFU, peak and goodput.
	want := e.FLOP / (e.MFU * 312e12 * 64) / 3600 / e.Goodput
	if math.Abs(e.Hours/want-1) > 1e-9 {
		t.Errorf("%v hours, arithmetic gives %v", e.Hours, want)
	}
	r.Wasted = 0.5
	if twice, _ := c.Estimate(r); math.Abs(twice.Cost/e.Cost-2) > 1e-9 {
		t.Errorf("half of the time wasted costs %v, want twice %v", twice.Cost, e.Cost)
	}
	for want, change := range map[string]func(*Run){
		"tokens":             func(r *Run) { r.Tokens = -1 },
		"0 GPUs":             func(r *Run) { r.GPUs = 0 },
		"failed experiments": func(r *Run) { r.Wasted = 1 },
		"price":              func(r *Run) { r.Price = math.NaN() },
		"sequence length":    func(r *Run) { r.Layout.SeqLen = 0 },
		"no training stack":  func(r *Run) { r.Stack = "pencil" },
		"a model and a GPU":  func(r *Run) { r.GPU = nil },
		"covers failures":    func(r *Run) { r.Stack = "blind" },
	} {
		bad := llamaRun(t)
		change(&bad)
		if _, err := c.Estimate(bad); !errors.Is(err, ErrRun) || !strings.Contains(err.Error(), want) {
			t.Errorf("want a refusal with %q, got %v", want, err)
		}
	}
}

// A run as whole runs turned out takes longer than its steps.
func TestBlindRunsTakeLonger(t *testing.T) {
	c, _ := Default()
	r := llamaRun(t)
	r.Failures = Failures{}
	good, err := c.Estimate(r)
	if err != nil {
		t.Fatal(err)
	}
	r.Stack = "blind"
	whole, err := c.Estimate(r)
	if err != nil {
		t.Fatal(err)
	}
	if f := whole.Hours / good.Hours; f < 1.1 || f > 1.8 {
		t.Errorf("whole runs take %.2f times as long as their steps", f)
	}
}

func TestSpread(t *testing.T) {
	last := 1.0
	for _, stack := range []string{"megatron-2022", "torchtitan-compile", "blind"} {
		f, err := Spread(stack)
		if err != nil || f <= last || f > 2 {
			t.Errorf("%s: a factor of %v (%v); each of these is less certain than the one before", stack, f, err)
		}
		last = f
	}
	if _, err := Spread("pencil"); err == nil {
		t.Error("unknown software has a spread")
	}
}

func TestForDeadline(t *testing.T) {
	c, _ := Default()
	r := llamaRun(t)
	sizes := []int{32, 64, 128, 256}
	small, err := c.ForDeadline(r, 1e6, sizes)
	if err != nil {
		t.Fatal(err)
	}
	r.GPUs = 256
	large, err := c.Estimate(r)
	if err != nil {
		t.Fatal(err)
	}
	soon, err := c.ForDeadline(r, large.Hours*1.5, sizes)
	if err != nil {
		t.Fatal(err)
	}
	if soon.Hours > large.Hours*1.5 || soon.GPUs <= 128 || small.Cost > soon.Cost {
		t.Errorf("a long deadline takes %d GPUs for %.0f USD, a short one %d for %.0f", small.GPUs, small.Cost, soon.GPUs, soon.Cost)
	}
	var no *ErrDeadline
	if _, err := c.ForDeadline(r, large.Hours/10, sizes); !errors.As(err, &no) || no.Fastest.GPUs != 256 {
		t.Errorf("an impossible deadline: %v", err)
	}
}

func TestScalingLaws(t *testing.T) {
	for _, law := range []ScalingLaw{Hoffmann, Besiroglu} {
		const budget = 5.76e23 // Chinchilla's and Gopher's
		n, d, err := law.Optimal(budget)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(6*n*d/budget-1) > 1e-9 {
			t.Errorf("6ND is %g, the budget %g", 6*n*d, budget)
		}
		best := law.Loss(n, d)
		for _, f := range []float64{0.5, 0.8, 0.95, 1.05, 1.25, 2} {
			if law.Loss(n*f, d/f) < best {
				t.Errorf("%.2f times the size has a lower loss", f)
			}
		}
		if tokens, err := law.TokensFor(n, best); err != nil || math.Abs(tokens/d-1) > 1e-6 {
			t.Errorf("tokens for the loss: %v, %v; want %v", tokens, err, d)
		}
	}
	// The corrected fit gives Chinchilla's own 70B within its error.
	if n, d, _ := Besiroglu.Optimal(5.76e23); d/n < 12 || d/n > 32 {
		t.Errorf("%.3g parameters, %.1f tokens each; Chinchilla took 20", n, d/n)
	}
	if _, _, err := Besiroglu.Optimal(-1); !errors.Is(err, ErrScaling) {
		t.Errorf("a negative budget: %v", err)
	}
	if _, err := Besiroglu.TokensFor(1e6, 2); !errors.Is(err, ErrScaling) {
		t.Errorf("a tiny model that should reach a loss of 2: %v", err)
	}
}

func TestServingMakesSmallerModelsBetter(t *testing.T) {
	n0, d0, _ := Besiroglu.Optimal(1e23)
	loss := Besiroglu.Loss(n0, d0)
	n, d, _, err := Besiroglu.InferenceAware(loss, 0, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(n/n0-1) > 0.01 || math.Abs(d/d0-1) > 0.01 {
		t.Errorf("without serving: %.3g and %.3g, Chinchilla %.3g and %.3g", n, d, n0, d0)
	}
	last := n
	for _, served := range []float64{1e12, 1e13, 1e14} {
		n, d, cost, err := Besiroglu.InferenceAware(loss, served, 1, 3)
		if err != nil {
			t.Fatal(err)
		}
		if n >= last || d <= d0 {
			t.Errorf("%.0e served tokens: %.3g parameters, %.3g tokens", served, n, d)
		}
		if same := 6*n0*d0 + 2*n0*served*3; cost > same {
			t.Errorf("%.0e served tokens: %g costs more than Chinchilla's %g", served, cost, same)
		}
		last = n
	}
	if _, _, _, err := Besiroglu.InferenceAware(1, 1e12, 1, 1); !errors.Is(err, ErrScaling) {
		t.Errorf("a loss below the entropy: %v", err)
	}
}

func TestTuningMethodsCompare(t *testing.T) {
	c, _ := Default()
	job := Tuning{Method: FullTuning, Shape: shape(t, "llama3-8b"), Teacher: shape(t, "llama3-70b"), Rank: 16, Examples: 50000, Epochs: 3, SeqLen: 2048, Batch: 64, GPU: gpu(t, "h100-80"), GPUs: 8, Price: 2}
	out := map[Method]Tuned{}
	for _, m := range Methods {
		job.Method = m
		r, err := c.Tune(job)
		if err != nil {
			t.Fatalf("%s: %v", m, err)
		}
		if math.Abs(r.Cost/(r.GPUHours*2)-1) > 1e-12 || r.Hours <= 0 {
			t.Errorf("%s: %+v", m, r)
		}
		out[m] = r
	}
	if r := out[LoRA].FLOP / out[FullTuning].FLOP; r < 0.66 || r > 0.7 {
		t.Errorf("LoRA takes %.3f of the arithmetic of full tuning, want two thirds and its adapters", r)
	}
	if r := out[DPO].FLOP / out[FullTuning].FLOP; math.Abs(r-8.0/3) > 1e-9 {
		t.Errorf("DPO takes %.4f times the arithmetic, want (6+2)/6 on two answers", r)
	}
	if out[QLoRA].Memory.Weights >= out[LoRA].Memory.Weights || out[QLoRA].Hours <= out[LoRA].Hours {
		t.Error("QLoRA must save memory and cost time against LoRA")
	}
	if out[LoRA].Trainable > 0.01*out[FullTuning].Trainable {
		t.Errorf("LoRA of rank 16 trains %.3g parameters", out[LoRA].Trainable)
	}
	if out[Distillation].FLOP < 3*out[FullTuning].FLOP {
		t.Error("a teacher nine times the size costs more than the student")
	}
	job.Method, job.StoredLogits = Distillation, true
	if r, err := c.Tune(job); err != nil || r.FLOP != out[FullTuning].FLOP {
		t.Errorf("with stored outputs a student trains like any model: %v, %v", r.FLOP, err)
	}
	for want, change := range map[string]func(*Tuning){
		"rank":      func(j *Tuning) { j.Method, j.Rank = LoRA, 0 },
		"teacher":   func(j *Tuning) { j.Method, j.Teacher = Distillation, nil },
		"examples":  func(j *Tuning) { j.Examples = 0 },
		"not one":   func(j *Tuning) { j.Method = "magic" },
		"at least":  func(j *Tuning) { j.GPUs = 0 },
		"the price": func(j *Tuning) { j.Price = -1 },
	} {
		bad := job
		change(&bad)
		if _, err := c.Tune(bad); !errors.Is(err, ErrTuning) || !strings.Contains(err.Error(), want) {
			t.Errorf("want a refusal with %q, got %v", want, err)
		}
	}
}
