package training

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/stratahq/strata/infra/catalog"
)

// The targets of validation, on errors that leave the case's model out.
func TestValidationMeetsItsTargets(t *testing.T) {
	rep, err := Validate(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(rep.Skipped) > 0 {
		t.Errorf("embedded cases are not predicted: %+v", rep.Skipped)
	}
	for key, want := range map[string]struct {
		cases     int
		mean, max float64
	}{
		"step_time":         {4, 0.022, 0.046}, // what Calculon reaches on the same four
		"activation_memory": {8, 0.05, 0.05},
		"peak_memory":       {20, 0.25, 0.4},
		"throughput":        {250, 0.06, 0.5},
		"gpu_hours":         {6, 0.3, 0.7},
		"scaling":           {2, 0.15, 0.2},
		"service":           {3, 0.3, 0.3},
	} {
		s, ok := rep.Summary[key]
		if !ok || s.Cases < want.cases {
			t.Errorf("%s: %d cases, want at least %d", key, s.Cases, want.cases)
			continue
		}
		if s.MeanAbsError > want.mean || s.MaxAbsError > want.max {
			t.Errorf("%s: mean error %.4f, max %.4f; want at most %.3f and %.3f", key, s.MeanAbsError, s.MaxAbsError, want.mean, want.max)
		}
	}
	if c := rep.Coverage; c.Low > 0.8 || c.High < 0.8 || c.Covered > c.Cases {
		t.Errorf("coverage %+v: its interval must contain 0.8", c)
	}
	for _, r := range rep.Cases {
		if !(r.P10 < r.Predicted && r.Predicted < r.P90) || math.IsInf(r.P90, 0) {
			t.Errorf("%s: interval %v to %v around %v", r.Name, r.P10, r.P90, r.Predicted)
		}
	}
	// Shares of peak are shares, and near what they were before any fit.
	for _, c := range rep.Constants {
		if strings.Contains(c.Name, ".gemm") || strings.Contains(c.Name, ".memory") || strings.Contains(c.Name, ".link") || strings.Contains(c.Name, ".network") || strings.Contains(c.Name, ".flash") {
			if c.Fitted <= 0.1 || c.Fitted >= 1 {
				t.Errorf("%s is fitted to %v, which is no share of a peak", c.Name, c.Fitted)
			}
		}
		if r := c.Fitted / c.Prior; r < 0.4 || r > 2.5 {
			t.Errorf("%s moved from %v to %v: it fits something else than its meaning", c.Name, c.Prior, c.Fitted)
		}
	}
}

// What ran on a GPU fits that GPU: the memory model refuses none of the runs whose
// layout is known.
func TestNoMeasuredRunIsRefused(t *testing.T) {
	cases, _ := EmbeddedCases()
	c, _ := Default()
	n := 0
	for i := range cases {
		k := &cases[i]
		l := k.Layout
		if !fitted(k) || l.TP == 0 || l.MicroBatch == 0 || (l.PP > 1 && l.Interleave == 0) {
			continue
		}
		st, err := c.Stack(k.Stack)
		if err != nil {
			t.Fatal(err)
		}
		n++
		if err := Fits(k.Shape, l.withDefaults(), st, st.State, k.GPU); err != nil {
			t.Errorf("%s ran, and is refused: %v", k.Name, err)
		}
	}
	if n < 200 {
		t.Errorf("only %d runs", n)
	}
}

// What a model measured cannot reach its own prediction.
func TestLeaveOneModelOutIsHonest(t *testing.T) {
	cases, err := EmbeddedCases()
	if err != nil {
		t.Fatal(err)
	}
	const model = "turing-530b"
	fit := func(scale float64) Constants {
		var rest []Case
		changed := 0
		for _, k := range cases {
			if k.Shape.Name == model {
				k.Measured *= scale
				changed++
				continue
			}
			rest = append(rest, k)
		}
		if changed < 3 {
			t.Fatalf("%s has %d cases", model, changed)
		}
		c, _ := FitConstants(rest, nil)
		return c
	}
	v, err := validated()
	if err != nil {
		t.Fatal(err)
	}
	out := v.without[model]
	again := fit(1)
	for i := range cases {
		k := &cases[i]
		if k.Shape.Name != model || k.Quantity != QuantityStepTime {
			continue
		}
		a, _, _ := out.Predict(k)
		b, _, _ := again.Predict(k)
		// Both start elsewhere, and end in the same minimum.
		if math.Abs(a/b-1) > 0.002 {
			t.Errorf("the prediction of %s is %v, from scratch %v", k.Name, a, b)
		}
		k.Measured *= 10
		if c, _, _ := out.Predict(k); c != a {
			t.Errorf("the prediction of %s depends on its measurement", k.Name)
		}
	}
}

// Measurements do decide the constants: a fit on doubled times doubles the
// predictions of what it was fitted on, as far as the priors let it.
func TestFitFollowsMeasurements(t *testing.T) {
	cases, _ := EmbeddedCases()
	var only []Case
	for _, k := range cases {
		if k.Quantity == QuantityStepTime {
			k.Measured *= 1.1
			only = append(only, k)
		}
	}
	c, _ := FitConstants(only, nil)
	for i := range only {
		p, _, err := c.Predict(&only[i])
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(p/only[i].Measured-1) > 0.05 {
			t.Errorf("%s: %v after fitting on %v", only[i].Name, p, only[i].Measured)
		}
	}
}

func TestNoConstantRestsOnOneCase(t *testing.T) {
	rep, err := Validate(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range rep.FittedOn {
		if strings.HasSuffix(line, ": 1 measured runs") || strings.HasSuffix(line, ": 0 measured runs") {
			t.Error(line)
		}
	}
}

func TestIntervalIsWiderForTheUnknown(t *testing.T) {
	cat, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	width := func(row string) float64 {
		t.Helper()
		cases, bad, err := ReadCases("x.csv", strings.NewReader(strings.Join(Columns(), ",")+"\n"+row), CatalogLookup(cat))
		if err != nil || len(bad) > 0 {
			t.Fatal(err, bad)
		}
		rep, err := Validate(cases, nil)
		if err != nil || len(rep.Cases) != 1 {
			t.Fatalf("%v %+v", err, rep)
		}
		return rep.Cases[0].P90 / rep.Cases[0].Predicted
	}
	known := width("a,mpt-7b,h100,8,1,1,8,,,6,48,2048,none,bf16,tokens_per_s_per_gpu,10000")
	software := width("a,qwen2-7b,h100,8,1,1,8,,,2,16,8192,none,bf16,tokens_per_s_per_gpu,9000")
	device := width("a,qwen2-7b,mi300x,8,1,1,8,,,2,16,8192,none,bf16,tokens_per_s_per_gpu,9000")
	if !(known < software && software < device) {
		t.Errorf("half widths %.3f (measured), %.3f (software unknown), %.3f (GPU unknown too)", known, software, device)
	}
}

func TestClopperPearson(t *testing.T) {
	// Tables: 8 of 10 at 95 %: 0.4439 to 0.9748; 0 of 10: 0 to 0.3085.
	low, high := clopperPearson(8, 10, 0.95)
	if math.Abs(low-0.4439) > 1e-3 || math.Abs(high-0.9748) > 1e-3 {
		t.Errorf("8 of 10: %v to %v", low, high)
	}
	low, high = clopperPearson(0, 10, 0.95)
	if low != 0 || math.Abs(high-0.3085) > 1e-3 {
		t.Errorf("0 of 10: %v to %v", low, high)
	}
	if _, high = clopperPearson(5, 5, 0.95); high != 1 {
		t.Errorf("5 of 5 ends at %v", high)
	}
}

func TestStudent80(t *testing.T) {
	// Tables of t at 0.90: 1.476 with 5, 1.372 with 10, 1.282 with many.
	for nu, want := range map[float64]float64{5: 1.476, 10: 1.372, 1e6: 1.2816} {
		if got := student80(nu); math.Abs(got-want) > 0.003 {
			t.Errorf("%v degrees of freedom: %v, want %v", nu, got, want)
		}
	}
}

func TestCSVRefusals(t *testing.T) {
	header := strings.Join(Columns(), ",")
	good := "a,megatron-22B,a100_80g,8,8,1,1,1,1,4,4,2048,full,float16,batch_time_s,1.42"
	cases, bad, err := ReadCases("x.csv", strings.NewReader(header+"\n"+good+"\n"), nil)
	if err != nil || len(bad) > 0 || len(cases) != 1 || cases[0].Quantity != QuantityStepTime || cases[0].Stack != "megatron-2022" {
		t.Fatalf("a good row: %+v %v %v", cases, bad, err)
	}
	for _, c := range []struct{ old, new, want string }{
		{"megatron-22B", "nosuch", "no model"},
		{"a100_80g", "nosuch", "no accelerator"},
		{"8,8,1,1,1,1", "9,8,1,1,1,1", "is not 9 GPUs"},
		{"8,8,1,1,1,1", "8,-8,1,1,1,1", "column tp"},
		{"8,8,1,1,1,1", "8,x,1,1,1,1", "column tp"},
		{"full", "sometimes", "column recompute"},
		{"float16", "int2", "column precision"},
		{"float16", "fp8", "no peak rate"},
		{"batch_time_s", "beauty", "column quantity"},
		{"1.42", "-1", "column measured"},
		{"1.42", "NaN", "column measured"},
		{"1.42", "1.42,7", "has 17 fields"},
		{"a,", ",", "no name"},
		{"4,4,2048", "4,,2048", "needs seq_len and global_batch"},
	} {
		row := strings.Replace(good, c.old, c.new, 1)
		cases, bad, err := ReadCases("x.csv", strings.NewReader(header+"\n"+row+"\n"), nil)
		if err != nil || len(cases) != 0 || len(bad) != 1 {
			t.Errorf("%s -> %s: cases %v, bad %v, %v", c.old, c.new, cases, bad, err)
			continue
		}
		if msg := bad[0].Error(); !strings.Contains(msg, c.want) || !strings.HasPrefix(msg, "x.csv:2: ") {
			t.Errorf("%s -> %s: %q does not say %q", c.old, c.new, msg, c.want)
		}
	}
	for text, want := range map[string]string{
		"":                                   "is empty",
		"name,model\n":                       "is missing",
		header + ",beauty\n":                 "unknown column",
		header + ",name\n":                   "is there twice",
		header + "\n\"a,megatron-22B,a100\n": "x.csv",
	} {
		if _, _, err := ReadCases("x.csv", strings.NewReader(text), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
}

func TestWhatARowLeavesOut(t *testing.T) {
	header := strings.Join(Columns(), ",")
	rows := `a,7b,h100_80gb,8,1,1,,,,6,48,2048,False,amp_bf16,tokens_per_s_per_gpu,10643
b,llama3-8b,h100_96gb,8,1,1,8,,,2,16,8192,selective,bf16,tokens_per_s_per_gpu,6667
c,175b,A100-80GB,64,8,8,1,,3,1,64,2048,seqsel,fp16,step_time,14
d,175b,A100-80GB,64,8,8,1,,3,1,64,2048,attn_only,fp16,step_time,14
e,llama3-8b,h100,8,,,,,,,64,8192,,bf16,step_time,9
`
	cases, bad, err := ReadCases("x.csv", strings.NewReader(header+"\n"+rows), nil)
	if err != nil || len(bad) > 0 {
		t.Fatal(err, bad)
	}
	a, b, c, d, e := cases[0], cases[1], cases[2], cases[3], cases[4]
	if a.Layout.Shard != ShardParameters || a.Stack != "llm-foundry" || a.Layout.Recompute != RecomputeNone || a.Shape.Name != "mpt-7b" {
		t.Errorf("an llm-foundry row: %+v", a)
	}
	if b.Stack != "torchtitan-compile" || b.Layout.Recompute != RecomputeOp {
		t.Errorf("a torchtitan row: %+v", b)
	}
	if c.Layout.Recompute != RecomputeSelective || !c.Layout.SequenceParallel || d.Layout.Recompute != RecomputeSelective || d.Layout.SequenceParallel {
		t.Errorf("seqsel %+v, attn_only %+v", c.Layout, d.Layout)
	}
	if e.Layout.Recompute != "" || e.Layout.TP != 0 {
		t.Errorf("a row without a layout: %+v", e.Layout)
	}
	rep, err := Validate(cases, nil)
	if err != nil || len(rep.Cases) != 5 {
		t.Fatalf("%v: %+v", err, rep.Skipped)
	}
}

func TestSkippedRowsSayWhy(t *testing.T) {
	header := strings.Join(Columns(), ",")
	rows := `hours,mpt-7b,a100,8,,,,,,,512,2048,,bf16,gpu_hours,100
large,gpt3-175b,a100,8,,,,,,,512,2048,,bf16,step_time,100
known,llama2-7b,a100,,,,,,,,,,,bf16,gpu_hours,184320
unknown,nosuch,a100,8,,,,,,,512,2048,,bf16,step_time,100
`
	cases, bad, err := ReadCases("x.csv", strings.NewReader(header+"\n"+rows), nil)
	if err != nil {
		t.Fatal(err)
	}
	rep, err := Validate(cases, bad)
	if err != nil {
		t.Fatal(err)
	}
	why := map[string]string{}
	for _, s := range rep.Skipped {
		why[s.Name] = s.Reason
	}
	for name, want := range map[string]string{"hours": "needs the column tokens", "large": "does not fit", "unknown": "no model"} {
		if !strings.Contains(why[name], want) {
			t.Errorf("%s is skipped because %q, want %q", name, why[name], want)
		}
	}
	// What was published about a run need not be repeated.
	if len(rep.Cases) != 1 || rep.Cases[0].Name != "known" {
		t.Errorf("predicted %+v", rep.Cases)
	}
}

func TestServiceRefusals(t *testing.T) {
	c, _ := Default()
	if _, err := c.ServiceNodes(shape(t, "llama2-7b"), gpu(t, "h800-80"), DeepSeekDay); err == nil || !strings.Contains(err.Error(), "experts") {
		t.Errorf("a dense model: %v", err)
	}
	day := DeepSeekDay
	day.TokensPerUser = 5000
	if _, err := c.ServiceNodes(shape(t, "deepseek-v3"), gpu(t, "h800-80"), day); err == nil || !strings.Contains(err.Error(), "no batch") {
		t.Errorf("5,000 tokens/s per user: %v", err)
	}
	slow, fast := DeepSeekDay, DeepSeekDay
	fast.TokensPerUser = 27
	a, err := c.ServiceNodes(shape(t, "deepseek-v3"), gpu(t, "h800-80"), slow)
	b, err2 := c.ServiceNodes(shape(t, "deepseek-v3"), gpu(t, "h800-80"), fast)
	if err = errors.Join(err, err2); err != nil || b <= a {
		t.Errorf("27 tokens/s per user take %v nodes, %v at 21 tokens/s (%v)", b, a, err)
	}
}

func FuzzReadCases(f *testing.F) {
	header := strings.Join(Columns(), ",")
	f.Add(header + "\na,megatron-22B,a100_80g,8,8,1,1,1,1,4,4,2048,full,float16,batch_time_s,1.42\n")
	f.Add(header + ",shard,cp\nb,mpt-7b,h100,8,1,1,8,,,6,48,2048,none,bf16,tokens_per_s_per_gpu,1e4,3,1\n")
	f.Add("name\n")
	c, err := Default()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		cases, _, err := ReadCases("f.csv", strings.NewReader(text), nil)
		if err != nil {
			return
		}
		for i := range cases {
			k := &cases[i]
			if k.GPUs > 4096 || k.Layout.GlobalBatch > 1<<20 {
				continue // a search over so many is slow, not wrong
			}
			p, _, err := c.Predict(k)
			if err == nil && (math.IsNaN(p) || p <= 0) {
				t.Fatalf("%q is predicted as %v", k.Name, p)
			}
		}
	})
}
