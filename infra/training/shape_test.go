package training

import (
	"math"
	"strings"
	"testing"

	"github.com/stratahq/strata/infra/catalog"
)

func shape(t testing.TB, name string) *Shape {
	t.Helper()
	s, err := ShapeByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Parameter counts that the sources state for the same shapes.
func TestParamsAgreeWithTheirSources(t *testing.T) {
	for name, want := range map[string]struct {
		total, active, within float64
	}{
		// llm-foundry's table, at 2,048 positions.
		"mpt-125m": {125311488, 0, 0.002}, "mpt-1b": {1315950592, 0, 0.002}, "mpt-7b": {6658859008, 0, 0.002},
		"mpt-13b": {12853954560, 0, 0.002}, "mpt-30b": {29975214080, 0, 0.002}, "mpt-70b": {64862437376, 0, 0.002},
		"llama2-7b": {6.74e9, 0, 0.005}, "llama2-70b": {68.98e9, 0, 0.005}, "llama3-8b": {8.03e9, 0, 0.005}, "llama3-405b": {405.9e9, 0, 0.005},
		"gpt3-175b": {174.6e9, 0, 0.01}, "megatron-1t": {1008e9, 0, 0.01}, "turing-530b": {529.6e9, 0, 0.01}, "bloom-176b": {176.2e9, 0, 0.01},
		// DeepSeek-V3 states 671 and 37 billion.
		"deepseek-v3": {671e9, 37e9, 0.02},
	} {
		total, active := shape(t, name).Params()
		if math.Abs(total/want.total-1) > want.within {
			t.Errorf("%s has %.4g parameters, its source says %.4g", name, total, want.total)
		}
		if want.active > 0 && math.Abs(active/want.active-1) > 0.03 {
			t.Errorf("%s uses %.4g parameters a token, its source says %.4g", name, active, want.active)
		}
	}
}

// The catalog counts parameters by another path; both must agree.
func TestParamsAgreeWithTheCatalog(t *testing.T) {
	c, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, m := range c.Models() {
		s, err := FromModel(m)
		if err != nil {
			t.Errorf("%s: %v", m.Name, err)
			continue
		}
		n++
		total, active := s.Params()
		p := m.Params()
		if math.Abs(total/p.Total()-1) > 0.012 {
			t.Errorf("%s: %.4g parameters here, %.4g in the catalog", m.Name, total, p.Total())
		}
		if math.Abs(active/p.Active()-1) > 0.03 {
			t.Errorf("%s: %.4g active parameters here, %.4g in the catalog", m.Name, active, p.Active())
		}
	}
	if n < 40 {
		t.Errorf("only %d shapes", n)
	}
}

func TestFLOPs(t *testing.T) {
	s := shape(t, "gpt3-175b")
	// 300 billion tokens of GPT-3: 3.14e23 FLOP in the paper's table D.1, which
	// leaves attention out.
	if got := s.FLOPs(3e11, 2048, true); math.Abs(got/3.14e23-1) > 0.03 {
		t.Errorf("GPT-3 takes %.4g FLOP, want about 3.14e23", got)
	}
	// Korthikanti et al., equation 7, with 72 where nothing is recomputed.
	h, l, v, seq := 12288.0, 96.0, 51200.0, 2048.0
	want := 72 * seq * l * h * h * (1 + seq/(6*h) + v/(12*h*l))
	if got := s.FLOPs(seq, seq, false); math.Abs(got/want-1) > 1e-9 {
		t.Errorf("a sequence takes %.6g FLOP, equation 7 gives %.6g", got, want)
	}
	if a, b := s.FLOPs(1, 65536, true), s.FLOPs(1, 65536, false); a >= b {
		t.Error("a causal kernel does not save arithmetic")
	}
}

func TestShapeRefusals(t *testing.T) {
	good := Shape{Name: "x", Layers: 2, Hidden: 64, FFN: 256, Heads: 4, KVHeads: 2, HeadDim: 16, Vocab: 100}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Shape){
		"above zero":    func(s *Shape) { s.Layers = 0 },
		"do not divide": func(s *Shape) { s.KVHeads = 3 },
		"negative":      func(s *Shape) { s.Vocab = -1 },
		"not possible":  func(s *Shape) { s.MoE = &MoE{Experts: 4, Active: 5, FFN: 8} },
	} {
		s := good
		change(&s)
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}
