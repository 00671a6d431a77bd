package catalog

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func mustLoad(t *testing.T) *Catalog {
	t.Helper()
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func near(got, want, tolerance float64) bool { return math.Abs(got-want) <= tolerance*math.Abs(want) }

func TestEveryEntryHasASource(t *testing.T) {
	c := mustLoad(t)
	check := func(what string, p Provenance) {
		t.Helper()
		if len(p.Source) < 12 || strings.Contains(p.Source, "@") {
			t.Errorf("%s: source %q names nothing", what, p.Source)
		}
		if p.File == "" || p.Line == 0 {
			t.Errorf("%s: has no place", what)
		}
	}
	for _, a := range c.Accelerators() {
		check(a.Name, a.Provenance)
	}
	for _, m := range c.Models() {
		check(m.Name, m.Provenance)
	}
	for _, p := range c.PowerPrices() {
		check(p.Name, p.Provenance)
	}
	for _, o := range c.Offers() {
		check(o.Provider+" "+o.Accelerator, o.Provenance)
	}
	all, err := c.Purchases("")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		check(p.Accelerator, p.Provenance)
	}
}

// TestWhatTheCatalogMustHave names the accelerators and the families of models
// that plans may ask for.
func TestWhatTheCatalogMustHave(t *testing.T) {
	c := mustLoad(t)
	for _, name := range []string{
		"V100", "V100 32GB", "A100 40GB", "A100 80GB", "A100 PCIe", "H100 SXM", "H100 PCIe", "H100 NVL", "H200", "B200", "B300", "GB200", "GB300",
		"MI300X", "MI325X", "MI350X", "MI355X", "TPU v4", "TPU v5e", "TPU v5p", "TPU v6e", "Trainium1", "Trainium2", "L4", "L40S", "RTX 4090",
		"RTX PRO 6000", "A10", "T4", "Ascend 910B", "Ascend 910C", "H20", "H800", "A800",
	} {
		if _, err := c.Accelerator(name); err != nil {
			t.Error(err)
		}
	}
	families := map[string]int{}
	for _, m := range c.Models() {
		families[m.Family]++
	}
	for _, f := range []string{"Llama", "Qwen", "Mistral", "DeepSeek", "Gemma", "Phi", "Falcon", "BLOOM", "OPT", "GPT", "MPT", "GLM", "Kimi", "Yi", "OLMo", "SmolLM"} {
		if families[f] == 0 {
			t.Errorf("no model of the family %s", f)
		}
	}
	if n := len(c.Models()); n < 40 {
		t.Errorf("%d models, want at least 40", n)
	}
}

func TestAliases(t *testing.T) {
	c := mustLoad(t)
	for in, want := range map[string]string{
		"a100-80g": "a100-sxm-80", "h100-sxm": "h100-sxm-80", "H100 PCIe": "h100-pcie-80", "NVIDIA V100": "v100-sxm2-16",
		"A100_SXM4_40GB": "a100-sxm-40", "GB300": "gb300-nvl72", "Google TPU v5e": "tpu-v5e",
	} {
		a, err := c.Accelerator(in)
		if err != nil || a.Name != want {
			t.Errorf("Accelerator(%q) = %v, %v; want %s", in, a, err, want)
		}
	}
	for in, want := range map[string]string{"meta-llama/Llama-3.1-8B": "llama-3.1-8b", "GPT-3": "gpt-3-175b", "deepseek-ai/DeepSeek-V3": "deepseek-v3"} {
		m, err := c.Model(in)
		if err != nil || m.Name != want {
			t.Errorf("Model(%q) = %v, %v; want %s", in, m, err, want)
		}
	}
}

func TestNotFoundSuggests(t *testing.T) {
	c := mustLoad(t)
	for in, want := range map[string]string{"h100x": "h100-sxm-80", "gb30": "gb300-nvl72", "mi300": "mi300x", "rtx-4091": "rtx-4090"} {
		_, err := c.Accelerator(in)
		var missing *NotFoundError
		if !errors.As(err, &missing) || !errors.Is(err, ErrNotFound) {
			t.Fatalf("Accelerator(%q): %v is no NotFoundError", in, err)
		}
		if missing.Kind != KindAccelerator || !slices.Contains(missing.Nearest, want) {
			t.Errorf("Accelerator(%q) suggests %v, want %s among them", in, missing.Nearest, want)
		}
	}
	for _, in := range []string{"", "?!", strings.Repeat("z", 10_000)} {
		if _, err := c.Lookup(in); !errors.Is(err, ErrNotFound) {
			t.Errorf("Lookup(%.10q): %v", in, err)
		}
	}
	if _, err := c.Lookup("lama-3.1-8b"); err == nil || !strings.Contains(err.Error(), "llama-3.1-8b") {
		t.Errorf("Lookup suggests %v", err)
	}
}

// TestPeaksAreInOrder holds what is true of every accelerator here: a narrower
// format is at least as fast, and NVIDIA's and AMD's sparse rate is twice the
// dense one, but for Blackwell Ultra's FP4.
func TestPeaksAreInOrder(t *testing.T) {
	for _, a := range mustLoad(t).Accelerators() {
		last := 0.0
		for _, d := range []DType{FP32, TF32, FP16, FP8, FP4} {
			v, ok := a.Peak[d]
			if !ok {
				continue
			}
			if v < last {
				t.Errorf("%s: %s at %g is slower than a wider format at %g", a.Name, d, v, last)
			}
			last = v
		}
		if f, b := a.Peak[FP16], a.Peak[BF16]; f != 0 && b != 0 && f != b {
			t.Errorf("%s: fp16 %g and bf16 %g differ", a.Name, f, b)
		}
		for d, s := range a.SparsePeak {
			if ratio := s / a.Peak[d]; !near(ratio, 2, 0.015) && (a.Name != "b300-sxm" || d != FP4) {
				t.Errorf("%s: sparse %s is %.3f times dense", a.Name, d, ratio)
			}
		}
		// FLOP per byte of memory traffic: 40 of a T4's fp32-era design to about
		// 600; beyond that a digit is wrong.
		if i := a.HalfPeak() / a.Bandwidth; i < 30 || i > 700 {
			t.Errorf("%s: %.0f FLOP of fp16 per byte of memory bandwidth", a.Name, i)
		}
		if a.Link.Bandwidth > 0 && a.Link.Bandwidth > a.Bandwidth {
			t.Errorf("%s: the link is faster than the memory", a.Name)
		}
	}
}

// TestTheReportsTraps: the report's figures stand beside the like-for-like ones.
func TestTheReportsTraps(t *testing.T) {
	c := mustLoad(t)
	for _, x := range []struct {
		name             string
		peak, reported   float64
		sparseIsReported bool
	}{
		{"v100-sxm2-32", 125e12, 28e12, false},
		{"h100-pcie", 756.5e12, 1513e12, true},
		{"h100-sxm", 989.4e12, 1979e12, true},
		{"a100-sxm-80", 312e12, 624e12, true},
	} {
		a, err := c.Accelerator(x.name)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := a.PeakOf(FP16); err != nil || got != x.peak {
			t.Errorf("%s: dense fp16 %g, %v; want %g", x.name, got, err, x.peak)
		}
		r := a.AsReported["report-2023"]
		if r.Peak[FP16] != x.reported || r.Note == "" {
			t.Errorf("%s: as reported %+v, want %g", x.name, r, x.reported)
		}
		if x.sparseIsReported && !near(a.SparsePeak[FP16], x.reported, 0.001) {
			t.Errorf("%s: sparse %g is not the report's %g", x.name, a.SparsePeak[FP16], x.reported)
		}
	}
	t4, err := c.Accelerator("t4")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := t4.PeakOf(BF16); err == nil || !strings.Contains(err.Error(), "fp16") {
		t.Errorf("T4 has no bf16: %v", err)
	}
}

// TestReportsPrices finds the prices of the report's examples.
func TestReportsPrices(t *testing.T) {
	c := mustLoad(t)
	for _, x := range []struct {
		gpu, provider string
		year          int
		commitment    Commitment
		price         float64
	}{
		{"v100-32g", "aws", 2019, OneYear, 18.3 / 8},
		{"a100-40g", "aws", 2021, OneYear, 19.22 / 8},
		{"a100-40g", "aws", 2024, OneYear, 24.21 / 8},
		{"h100-pcie", "lambda", 2023, OnDemand, 1.99},
	} {
		offers, err := c.OffersFor(x.gpu, time.Date(x.year, 12, 31, 0, 0, 0, 0, time.UTC))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(offers, func(o Offer) bool {
			return o.Provider == x.provider && o.Commitment == x.commitment && near(o.Price, x.price, 1e-9)
		}) {
			t.Errorf("%s at the end of %d: no offer of %g among %v", x.gpu, x.year, x.price, offers)
		}
	}
	bought, err := c.Purchases("a100-sxm-40")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(bought, func(p Purchase) bool { return p.Total == 200_000 && p.Count == 8 && p.Price == 25_000 }) {
		t.Errorf("DGX A100 at USD 200,000 is missing from %v", bought)
	}
}

func TestOffersForHoldsAtItsDay(t *testing.T) {
	c := mustLoad(t)
	early, err := c.OffersFor("h100", time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil || len(early) != 0 {
		t.Errorf("offers of the H100 in 2020: %v, %v", early, err)
	}
	at := time.Date(2025, 3, 31, 0, 0, 0, 0, time.UTC)
	list, err := c.OffersFor("h100", at)
	if err != nil || len(list) == 0 {
		t.Fatalf("no offers of the H100 in 2025: %v", err)
	}
	seen := map[offerKey]bool{}
	for i, o := range list {
		if o.Date.After(at) || o.Accelerator != "h100-sxm-80" {
			t.Errorf("%+v does not hold then", o)
		}
		if seen[o.key()] {
			t.Errorf("%+v is there twice", o)
		}
		seen[o.key()] = true
		if i > 0 && list[i-1].Price > o.Price {
			t.Errorf("not in the order of prices at %d", i)
		}
	}
	recent := Recent(list, at, 60*24*time.Hour)
	if len(recent) == 0 || len(recent) >= len(list) {
		t.Errorf("%d of %d offers are recent", len(recent), len(list))
	}
	if _, err := c.OffersFor("nothing", at); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown accelerator: %v", err)
	}
}

// TestModelsAgreeWithTheirMakers compares the totals counted from shapes with
// the stated ones, and the active parameters, which makers count with or
// without the embeddings and round to a whole billion.
func TestModelsAgreeWithTheirMakers(t *testing.T) {
	for _, m := range mustLoad(t).Models() {
		p := m.Params()
		if !near(p.Total(), m.Stated.Total, 0.02) {
			t.Errorf("%s: %.4g from the shape, %.4g stated", m.Name, p.Total(), m.Stated.Total)
		}
		if m.MoE == nil {
			if p.Inactive != 0 || m.Stated.Active != 0 {
				t.Errorf("%s: a dense model with idle parameters", m.Name)
			}
			continue
		}
		if m.Stated.Active == 0 {
			t.Errorf("%s: states no active parameters", m.Name)
		}
		with, without := p.Active(), p.Active()-p.Embedding
		if slack := 0.03*m.Stated.Active + 0.5e9; m.Stated.Active < without-slack || m.Stated.Active > with+slack {
			t.Errorf("%s: %.4g to %.4g active from the shape, %.4g stated", m.Name, without, with, m.Stated.Active)
		}
		if mm := p.Matmul(m); mm >= with+float64(m.Vocab*m.Hidden) || mm <= 0 {
			t.Errorf("%s: %g parameters in products of %g active", m.Name, mm, with)
		}
	}
}

// TestExactCounts holds counts that are published to the last parameter.
func TestExactCounts(t *testing.T) {
	c := mustLoad(t)
	for name, want := range map[string]float64{
		"gpt2":            124_439_808,     // Hugging Face openai-community/gpt2, model.safetensors
		"llama-2-7b":      6_738_415_616,   // Hugging Face meta-llama/Llama-2-7b-hf
		"llama-3.1-8b":    8_030_261_248,   // Hugging Face meta-llama/Llama-3.1-8B
		"mistral-7b-v0.1": 7_241_732_096,   // Hugging Face mistralai/Mistral-7B-v0.1
		"mixtral-8x7b":    46_702_792_704,  // Hugging Face mistralai/Mixtral-8x7B-v0.1
		"qwen2.5-7b":      7_615_616_512,   // Hugging Face Qwen/Qwen2.5-7B
		"smollm2-135m":    134_515_008,     // Hugging Face HuggingFaceTB/SmolLM2-135M
		"bloom-176b":      176_247_271_424, // Le Scao et al., arXiv 2211.05100, table 3
	} {
		m, err := c.Model(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Params().Total(); got != want && !(name == "bloom-176b" && want-got == 2*14336) {
			// BLOOM normalises its embeddings too: 28,672 parameters more.
			t.Errorf("%s: %.0f parameters, want %.0f", name, got, want)
		}
	}
}

func TestKVCache(t *testing.T) {
	c := mustLoad(t)
	for _, x := range []struct {
		model   string
		context float64
		want    float64
	}{
		{"llama-2-7b", 1, 524_288},                 // 2 × 32 layers × 4,096 × 2 bytes
		{"llama-3.1-70b", 1, 327_680},              // 2 × 80 × 8 × 128 × 2
		{"deepseek-v3", 1, 70_272},                 // 61 × (512 + 64) × 2, arXiv 2505.09343, table 1: 70.272 KB
		{"qwen2.5-72b", 1, 327_680},                // the same table: 327.680 KB
		{"llama-3.1-405b", 1, 516_096},             // the same table: 516.096 KB
		{"mistral-7b-v0.1", 32768, 4096 * 131_072}, // all layers keep 4,096 tokens
		{"gpt-oss-20b", 1000, 12*2048*1000 + 12*2048*128},
	} {
		m, err := c.Model(x.model)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.KVBytes(x.context, BF16); got != x.want {
			t.Errorf("%s: %g bytes for %g tokens, want %g", x.model, got, x.context, x.want)
		}
		if x.context == 1 && m.KVBytesPerToken(BF16) != x.want {
			t.Errorf("%s: %g bytes a token, want %g", x.model, m.KVBytesPerToken(BF16), x.want)
		}
	}
}

func TestPowerAt(t *testing.T) {
	p, err := mustLoad(t).Power("us")
	if err != nil {
		t.Fatal(err)
	}
	if x, ok := p.At(time.Date(2005, 6, 1, 0, 0, 0, 0, time.UTC)); !ok || x.Price != 0.0572 {
		t.Errorf("2005: %+v, %v", x, ok)
	}
	if x, ok := p.At(time.Time{}); !ok || x.From != Day(2023, 1, 1) {
		t.Errorf("latest: %+v, %v", x, ok)
	}
	if _, ok := p.At(time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)); ok {
		t.Error("a price before the first")
	}
}

func TestUserFilesOverride(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mine.yaml")
	write(t, file, `
accelerators:
  h100-sxm-80:
    vendor: NVIDIA
    aliases: [h100]
    peak: {bf16: 800 TFLOP/s}
    memory: 80 GiB
    bandwidth: 3.35 TB/s
    source: our own measurement of 2026-02-01
offers:
  - {provider: ours, accelerator: h100, count: 8, date: 2026-02-01, instance_prices: {1y: 16 USD/h}, source: contract of 2026-02-01}
`)
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	a, err := c.Accelerator("h100")
	if err != nil || a.Peak[BF16] != 800e12 || len(a.Peak) != 1 || a.File != file {
		t.Errorf("%+v, %v: the whole entry should be replaced", a, err)
	}
	offers, err := c.OffersFor("h100", time.Time{})
	if err != nil || !slices.ContainsFunc(offers, func(o Offer) bool { return o.Provider == "ours" && o.Price == 2 }) {
		t.Errorf("%v, %v", offers, err)
	}
	if own := mustLoad(t); own.accelerators["h100-sxm-80"].Peak[BF16] == 800e12 {
		t.Error("a user's file changed the embedded catalog")
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
