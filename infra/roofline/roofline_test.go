package roofline

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stratahq/strata/infra/catalog"
)

func device() Device {
	return Device{
		GPU: &GPU{Name: "test", Peak: map[string]float64{"bf16": 312e12, "fp8": 624e12}, Memory: 80 << 30, Bandwidth: 2e12, SM: 108, Link: 300e9, Domain: 8, Network: 25e9},
		Eff: Efficiency{Gemm: 0.8, Wave: 0.4, K0: 100, Memory: 0.8, Flash: 0.5, FlashBack: 0.4, FP8: 0.9, Link: 0.7, Network: 0.8, Hop: 3e-6, Contention: 0.2},
	}
}

func TestGemmApproachesItsShareOfPeak(t *testing.T) {
	d := device()
	const n = 65536.0
	rate := 2 * n * n * n / d.Gemm("bf16", n, n, n, 1, 2)
	if share := rate / 312e12; share < 0.79 || share > 0.8 {
		t.Errorf("a huge product reaches %.3f of peak, want just under 0.8", share)
	}
	// One token: weights are read once, so memory sets the time.
	got := d.Gemm("bf16", 1, 8192, 8192, 1, 2)
	want := 2 * 8192.0 * 8192 / (2e12 * 0.8)
	if math.Abs(got/want-1) > 0.1 {
		t.Errorf("one row takes %.3g s, want about the time to read the weights, %.3g s", got, want)
	}
	if !math.IsInf(d.Gemm("fp4", 128, 128, 128, 1, 2), 1) {
		t.Error("a product in a format without a peak takes a finite time")
	}
}

func TestGemmGrows(t *testing.T) {
	d := device()
	rapid.Check(t, func(t *rapid.T) {
		dim := rapid.Float64Range(1, 1e5)
		m, n, k := dim.Draw(t, "m"), dim.Draw(t, "n"), dim.Draw(t, "k")
		if a, b := d.Gemm("bf16", m, n, k, 1, 2), d.Gemm("bf16", 2*m, n, k, 1, 2); b < a {
			t.Fatalf("twice the rows are quicker: %g then %g", a, b)
		}
		if peak := 2 * m * n * k / 312e12; d.Gemm("bf16", m, n, k, 1, 2) < peak {
			t.Fatal("quicker than peak")
		}
	})
}

func TestCollectives(t *testing.T) {
	d := device()
	if got := d.Gather(1e9, 1, 8); got != 0 {
		t.Errorf("a gather of one GPU takes %g s", got)
	}
	// Eight GPUs over NVLink: 7/8 of the bytes at 70 % of 300 GB/s.
	if got, want := d.Gather(1e9, 8, 8), 1e9*7/8/(300e9*0.7)+LinkLatency; math.Abs(got/want-1) > 1e-9 {
		t.Errorf("gather over links: %g s, want %g", got, want)
	}
	// Two nodes: eight network cards carry half of the bytes.
	inter := 0.5e9/(25e9*0.8*8) + NetworkLatency + 15*3e-6
	if got := d.Gather(1e9, 16, 8); math.Abs(got/math.Max(inter, 1e9*7/8/(300e9*0.7)+LinkLatency)-1) > 1e-9 {
		t.Errorf("gather over two nodes: %g s", got)
	}
	// Only one GPU of each node takes part: one card each.
	if a, b := d.Gather(1e9, 16, 1), d.Gather(1e9, 16, 8); a < 4*b {
		t.Errorf("a group with one GPU a node (%g s) should be far slower than one that fills nodes (%g s)", a, b)
	}
	if a, b := d.AllReduce(1e9, 8, 8), d.Gather(1e9, 8, 8); a != 2*b {
		t.Errorf("all-reduce %g, want twice a gather %g", a, b)
	}
	if a, b := d.AllToAll(1e9, 64, 8), d.AllToAll(1e9, 8, 8); a <= b {
		t.Errorf("all-to-all over nodes (%g) should be slower than over links (%g)", a, b)
	}
	if got := d.Overlap(3, 1); got != 3.2 {
		t.Errorf("overlap of 3 and 1 with contention 0.2 is %g, want 3.2", got)
	}
}

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		gpu  GPU
		want string
	}{
		"no peak":   {GPU{Name: "x", Memory: 1, Bandwidth: 1}, "no peak rate"},
		"no memory": {GPU{Name: "x", Peak: map[string]float64{"bf16": 1}, Bandwidth: 1}, "memory capacity"},
		"no link":   {GPU{Name: "x", Peak: map[string]float64{"bf16": 1}, Memory: 1, Bandwidth: 1, Domain: 8}, "no link bandwidth"},
	} {
		if err := c.gpu.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
	if err := device().Validate(); err != nil {
		t.Errorf("a good GPU is refused: %v", err)
	}
}

// Every accelerator of the catalog that can train at all has a device.
func TestFromAccelerator(t *testing.T) {
	c, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, a := range c.Accelerators() {
		g, err := FromAccelerator(a)
		if err != nil {
			t.Errorf("%s: %v", a.Name, err)
			continue
		}
		n++
		if g.Memory != a.Memory || g.Bandwidth != a.Bandwidth || len(g.Peak) != len(a.Peak) {
			t.Errorf("%s: figures were lost", a.Name)
		}
	}
	if n < 10 {
		t.Errorf("only %d accelerators", n)
	}
	h, err := c.Accelerator("a100-sxm-80")
	if err != nil {
		t.Fatal(err)
	}
	if g, _ := FromAccelerator(h); g.Generation != "ampere" || g.SM != 108 || g.Domain != 8 {
		t.Errorf("A100 is %+v", g)
	}
}
