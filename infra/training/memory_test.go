package training

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/stratahq/strata/infra/catalog"
	"github.com/stratahq/strata/infra/roofline"
)

func gpu(t testing.TB, name string) *roofline.GPU {
	t.Helper()
	g, err := GPUByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func megatron(t testing.TB) Stack {
	t.Helper()
	c, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	st, err := c.Stack("megatron-2022")
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// Table 2 of Korthikanti et al.: bytes of activations per layer.
func TestLayerActivationsAreThePapersFormulas(t *testing.T) {
	s := shape(t, "gpt3-175b")
	st := megatron(t)
	seq, b, h, a := 2048.0, 1.0, 12288.0, 96.0
	sbh := seq * b * h
	for name, c := range map[string]struct {
		tp   int
		seq  bool
		mode Recompute
		want float64
	}{
		"no parallelism":                  {1, false, RecomputeNone, sbh * (34 + 5*a*seq/h)},
		"tensor parallel":                 {8, false, RecomputeNone, sbh * (10 + 24.0/8 + 5*a*seq/(h*8))},
		"tensor and sequence":             {8, true, RecomputeNone, sbh / 8 * (34 + 5*a*seq/h)},
		"tensor and selective":            {8, false, RecomputeSelective, sbh * (10 + 24.0/8)},
		"tensor, sequence, selective":     {8, true, RecomputeSelective, sbh / 8 * 34},
		"full recomputation":              {8, false, RecomputeFull, sbh * 2},
		"full recomputation and sequence": {8, true, RecomputeFull, sbh * 2 / 8},
	} {
		l := Layout{TP: c.tp, MicroBatch: 1, GlobalBatch: 1, SeqLen: 2048, Recompute: c.mode, SequenceParallel: c.seq}.withDefaults()
		if got := LayerActivations(s, l, st); math.Abs(got/c.want-1) > 1e-12 {
			t.Errorf("%s: %.6g bytes, the paper's formula gives %.6g", name, got, c.want)
		}
	}
}

func TestShardingDividesState(t *testing.T) {
	s := shape(t, "llama2-7b")
	st := megatron(t)
	n, _ := s.Params()
	base := Layout{DP: 8, MicroBatch: 1, GlobalBatch: 8, SeqLen: 2048, Recompute: RecomputeFull}.withDefaults()
	var last float64
	for stage := ShardNone; stage <= ShardParameters; stage++ {
		l := base
		l.Shard = stage
		m := MemoryOf(s, l, st, MixedAdam)
		state := m.Weights + m.Gradients + m.Optimizer
		want := map[Shard]float64{ShardNone: 18, ShardOptimizer: 6 + 12.0/8, ShardGradients: 2 + 16.0/8, ShardParameters: 18.0 / 8}[stage]
		if math.Abs(state/n/want-1) > 0.01 {
			t.Errorf("ZeRO %d keeps %.3f bytes a parameter, want %.3f", stage, state/n, want)
		}
		if last > 0 && state >= last {
			t.Errorf("ZeRO %d does not save memory", stage)
		}
		last = state
	}
}

func TestExpertsAreDividedOverTheirGroup(t *testing.T) {
	s := shape(t, "deepseek-v3")
	st := megatron(t)
	l := Layout{DP: 64, EP: 1, MicroBatch: 1, GlobalBatch: 64, SeqLen: 4096, Recompute: RecomputeFull}.withDefaults()
	whole := MemoryOf(s, l, st, FP8Adam).Weights
	l.EP = 64
	spread := MemoryOf(s, l, st, FP8Adam).Weights
	if whole < 20*spread {
		t.Errorf("64-way expert parallelism keeps %.3g of %.3g bytes; nearly all weights are experts", spread, whole)
	}
}

func TestWhatDoesNotFitSaysWhy(t *testing.T) {
	s := shape(t, "gpt3-175b")
	l := Layout{TP: 8, DP: 1, MicroBatch: 1, GlobalBatch: 8, SeqLen: 2048, Recompute: RecomputeFull}.withDefaults()
	err := Fits(s, l, megatron(t), MixedAdam, gpu(t, "a100-80"))
	var no *ErrDoesNotFit
	if !errors.As(err, &no) || !errors.Is(err, ErrLayout) {
		t.Fatalf("175B parameters on eight A100: %v", err)
	}
	for _, want := range []string{"does not fit", "a100-80", "80.0 GiB", "optimizer", "tp8"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
	// A pipeline over eight nodes makes it fit (its layout in the paper).
	l.PP, l.GlobalBatch, l.Recompute = 8, 64, RecomputeFull
	if err := Fits(s, l, megatron(t), MixedAdam, gpu(t, "a100-80")); err != nil {
		t.Errorf("the paper's own layout is refused: %v", err)
	}
}

// Dettmers et al. fine-tuned 65B on one GPU of 48 GB with QLoRA.
func TestQLoRAFitsOne48GBGPU(t *testing.T) {
	c, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	cat, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	a, err := cat.Accelerator("l40s") // 48 GB
	if err != nil {
		t.Fatal(err)
	}
	g, err := roofline.FromAccelerator(a)
	if err != nil {
		t.Fatal(err)
	}
	job := Tuning{Method: QLoRA, Shape: shape(t, "llama-65b"), Rank: 64, Examples: 9846, Epochs: 1, SeqLen: 512, Batch: 16, GPU: g, GPUs: 1, Price: 1}
	out, err := c.Tune(job)
	if err != nil {
		t.Fatalf("QLoRA of 65B on 48 GB: %v", err)
	}
	if gib := out.Memory.Total() / (1 << 30); gib < 33 || gib > 45 {
		t.Errorf("it takes %.1f GiB; the paper needs under 48 and the weights alone are 31", gib)
	}
	for _, m := range []Method{LoRA, FullTuning, DPO} {
		job.Method = m
		var no *ErrDoesNotFit
		if _, err := c.Tune(job); !errors.As(err, &no) {
			t.Errorf("%s of 65B on one 48 GB GPU should not fit: %v", m, err)
		}
	}
}
