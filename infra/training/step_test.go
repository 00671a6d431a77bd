package training

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/stratahq/strata/infra/roofline"
)

func step(t testing.TB, model, gpuName, stack string, l Layout) Times {
	t.Helper()
	c, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	st, err := c.Stack(stack)
	if err != nil {
		t.Fatal(err)
	}
	out, err := StepTime(c.Device(gpu(t, gpuName)), shape(t, model), l, st)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var korthikanti175 = Layout{TP: 8, PP: 8, Interleave: 3, MicroBatch: 1, GlobalBatch: 64, SeqLen: 2048, Recompute: RecomputeFull, Precision: "fp16"}

func TestPipelineBubble(t *testing.T) {
	l := korthikanti175
	l.Interleave = 1
	plain := step(t, "gpt3-175b", "a100-80", "megatron-2022", l)
	three := step(t, "gpt3-175b", "a100-80", "megatron-2022", korthikanti175)
	if got := plain.Bubble / three.Bubble; math.Abs(got-3) > 1e-9 {
		t.Errorf("three chunks divide the bubble by %.3f, want 3", got)
	}
	// 7 of 64+7 slots stand still without interleaving.
	if share := plain.Bubble / plain.Step; share < 0.08 || share > 7.0/71 {
		t.Errorf("the bubble is %.3f of the step, want just under 7/71", share)
	}
	if plain.PipelineComm >= three.PipelineComm {
		t.Error("interleaving sends more messages, and must cost more of them")
	}
}

func TestRecomputationCosts(t *testing.T) {
	var times []float64
	for _, mode := range []Recompute{RecomputeNone, RecomputeSelective, RecomputeFull} {
		l := korthikanti175
		l.Recompute = mode
		times = append(times, step(t, "gpt3-175b", "a100-80", "megatron-2022", l).Step)
	}
	if !(times[0] < times[1] && times[1] < times[2]) {
		t.Errorf("none, selective and full take %v", times)
	}
	// The abstract of arXiv 2205.05198: full recomputation costs 30 to 40 %.
	if cost := times[2]/times[0] - 1; cost < 0.25 || cost > 0.40 {
		t.Errorf("full recomputation costs %.1f %%", 100*cost)
	}
}

func TestSequenceParallelismSavesPasses(t *testing.T) {
	l := korthikanti175
	l.Recompute = RecomputeNone
	without := step(t, "gpt3-175b", "a100-80", "megatron-2022", l)
	l.SequenceParallel = true
	with := step(t, "gpt3-175b", "a100-80", "megatron-2022", l)
	if with.Elementwise >= without.Elementwise || with.Gemm != without.Gemm {
		t.Errorf("sequence parallelism: passes %.3g -> %.3g s, products %.3g -> %.3g s", without.Elementwise, with.Elementwise, without.Gemm, with.Gemm)
	}
}

func TestFSDPGathersShowOnASlowNetwork(t *testing.T) {
	c, _ := Default()
	st, _ := c.Stack("llm-foundry")
	slow := *gpu(t, "h100-80")
	fast := slow
	slow.Network /= 16
	l := Layout{DP: 128, MicroBatch: 1, GlobalBatch: 128, SeqLen: 2048, Recompute: RecomputeFull, Shard: ShardParameters, Precision: "bf16"}
	run := func(g *roofline.GPU) Times {
		out, err := StepTime(c.Device(g), shape(t, "mpt-7b"), l, st)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if a, b := run(&slow), run(&fast); a.ShardComm < 3*b.ShardComm || a.Step <= b.Step {
		t.Errorf("a sixteenth of the network: gathers %.3g and %.3g s", a.ShardComm, b.ShardComm)
	}
}

func TestOffloadSavesMemoryAndCostsTime(t *testing.T) {
	c, _ := Default()
	st, _ := c.Stack("fsdp-compile")
	s := shape(t, "llama2-13b")
	d := c.Device(gpu(t, "a100-80"))
	l := Layout{DP: 8, MicroBatch: 2, GlobalBatch: 16, SeqLen: 4096, Recompute: RecomputeNone, Shard: ShardParameters}.withDefaults()
	plain, err := StepTime(d, s, l, st)
	if err != nil {
		t.Fatal(err)
	}
	held := MemoryOf(s, l, st, st.State)
	for name, change := range map[string]func(*Layout){
		"optimizer":   func(l *Layout) { l.OffloadOptimizer = true },
		"activations": func(l *Layout) { l.OffloadActivations = true },
	} {
		o := l
		change(&o)
		out, err := StepTime(d, s, o, st)
		if err != nil {
			t.Fatal(err)
		}
		if out.Step <= plain.Step || out.Offload <= 0 || MemoryOf(s, o, st, st.State).Total() >= held.Total() {
			t.Errorf("%s on the host: step %.3f s instead of %.3f, offload %.3f s", name, out.Step, plain.Step, out.Offload)
		}
		bare := *d.GPU
		bare.Host = 0
		if _, err := StepTime(c.Device(&bare), s, o, st); !errors.Is(err, ErrLayout) || !strings.Contains(err.Error(), "bandwidth to the host") {
			t.Errorf("%s without a host link: %v", name, err)
		}
	}
}

func TestFP8IsQuickerInProductsOnly(t *testing.T) {
	l := Layout{DP: 8, MicroBatch: 2, GlobalBatch: 16, SeqLen: 8192, Recompute: RecomputeOp, Shard: ShardParameters, Precision: "bf16"}
	half := step(t, "llama3-8b", "h100-80", "fsdp-compile", l)
	l.Precision = "fp8"
	eight := step(t, "llama3-8b", "h100-80", "fsdp-compile", l)
	if r := half.Gemm / eight.Gemm; r < 1.4 || r > 2 {
		t.Errorf("products are %.2f times as quick in fp8", r)
	}
	if eight.Attention != half.Attention {
		t.Error("attention changed with the format of products")
	}
}

func TestLayoutsThatCannotRunSayWhy(t *testing.T) {
	good := korthikanti175.withDefaults()
	if err := good.Check(shape(t, "gpt3-175b")); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Layout){
		"does not divide 96 heads":    func(l *Layout) { l.TP = 5 },
		"need as many layers":         func(l *Layout) { l.PP, l.Interleave = 48, 4 },
		"does not divide a global":    func(l *Layout) { l.DP = 3 },
		"less than one micro-batch":   func(l *Layout) { l.MicroBatch = 65 },
		"interleaving needs a pipe":   func(l *Layout) { l.PP = 1 },
		"in multiples of the stages":  func(l *Layout) { l.GlobalBatch = 60 },
		"which has no experts":        func(l *Layout) { l.EP = 8 },
		"not none, selective":         func(l *Layout) { l.Recompute = "sometimes" },
		"must be at least 1":          func(l *Layout) { l.SeqLen = 0 },
		"does not divide a sequence":  func(l *Layout) { l.CP = 3 },
		"is not a ZeRO stage":         func(l *Layout) { l.Shard = 4 },
		"micro-batch is -1, and must": func(l *Layout) { l.MicroBatch = -1 },
	} {
		l := good
		change(&l)
		if err := l.Check(shape(t, "gpt3-175b")); !errors.Is(err, ErrLayout) || !strings.Contains(err.Error(), want) {
			t.Errorf("want a refusal with %q, got %v", want, err)
		}
	}
}

func TestBestLayoutBeatsOthersAndFits(t *testing.T) {
	c, _ := Default()
	st, _ := c.Stack("megatron-2022")
	d := c.Device(gpu(t, "a100-80"))
	s := shape(t, "gpt3-175b")
	known := Layout{GlobalBatch: 256, SeqLen: 2048, Precision: "bf16"}
	best, err := BestLayout(d, s, known, 256, st, true)
	if err != nil {
		t.Fatal(err)
	}
	if best.Layout.GPUs() != 256 || best.Memory.Total() > d.GPU.Memory {
		t.Errorf("found %v with %.1f GiB", best.Layout, best.Memory.Total()/(1<<30))
	}
	for _, tp := range []int{2, 4, 8} {
		for _, pp := range []int{8, 16, 32} {
			l := Layout{TP: tp, PP: pp, DP: 256 / tp / pp, MicroBatch: 1, GlobalBatch: 256, SeqLen: 2048, Recompute: RecomputeFull, Shard: ShardOptimizer, Precision: "bf16", SequenceParallel: true}.withDefaults()
			if Fits(s, l, st, st.State, d.GPU) != nil {
				continue
			}
			if out, err := StepTime(d, s, l, st); err == nil && out.Step < best.Times.Step {
				t.Errorf("%v takes %.3f s, quicker than the best found, %v in %.3f s", l, out.Step, best.Layout, best.Times.Step)
			}
		}
	}
	var no *ErrDoesNotFit
	if _, err := BestLayout(d, s, known, 8, st, true); !errors.As(err, &no) {
		t.Errorf("175B parameters on eight GPUs: %v", err)
	}
	if _, err := BestLayout(d, s, known, 7, st, true); !errors.Is(err, ErrLayout) {
		t.Errorf("seven GPUs for a batch of 256: %v", err)
	}
}
