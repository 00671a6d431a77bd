package catalog

import (
	"errors"
	"strings"
	"testing"
)

// gpu is an entry without faults, to be broken by the cases.
const gpu = `accelerators:
  mine:
    vendor: Me
    peak: {bf16: 100 TFLOP/s}
    memory: 24 GiB
    bandwidth: 1 TB/s
    source: data sheet of 2026
`

func TestFaultsNamePlaceAndMend(t *testing.T) {
	if _, err := Parse("f.yaml", []byte(gpu)); err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct{ file, want string }{
		"empty":            {"", "f.yaml: the file is empty"},
		"no yaml":          {"accelerators: [", "f.yaml:2:1: line 2: did not find"},
		"two documents":    {gpu + "---\na: 1\n", "second YAML document"},
		"unknown section":  {"acelerators: {}\n", `f.yaml:1:1: acelerators: unknown key; did you mean "accelerators"?`},
		"unknown key":      {strings.Replace(gpu, "memory", "memroy", 1), `f.yaml:5:5: accelerators.mine.memroy: unknown key; did you mean "memory"?`},
		"set twice":        {gpu + "    memory: 25 GiB\n", "f.yaml:8:5: accelerators.mine.memory: is set twice; the first is in line 5"},
		"alias":            {strings.Replace(gpu, "source: data sheet of 2026", "source: *x", 1) + "power: &x {}\n", "f.yaml:7"},
		"wrong unit":       {strings.Replace(gpu, "24 GiB", "24 GB/s", 1), "f.yaml:5:13: accelerators.mine.memory: wrong unit"},
		"no unit":          {strings.Replace(gpu, "24 GiB", "24", 1), `f.yaml:5:13: accelerators.mine.memory: wrong unit: "24" has no unit`},
		"absurd":           {strings.Replace(gpu, "24 GiB", "24 PB", 1), "f.yaml:5:5: accelerators.mine.memory: memory (bytes) of 2.4e+16 is not between"},
		"negative":         {strings.Replace(gpu, "100 TFLOP/s", "-100 TFLOP/s", 1), "f.yaml:4:12: accelerators.mine.peak.bf16: a peak (FLOP/s) of -1e+14"},
		"unknown format":   {strings.Replace(gpu, "bf16", "bf17", 1), `f.yaml:4:12: accelerators.mine.peak.bf17: unknown key; did you mean "bf16"?`},
		"sparse":           {gpu + "    sparse_peak: {bf16: 400 TFLOP/s}\n", "f.yaml:8:19: accelerators.mine.sparse_peak.bf16: the sparse peak is 4 times the dense one"},
		"sparse alone":     {gpu + "    sparse_peak: {fp8: 400 TFLOP/s}\n", "there is a sparse peak without a dense one"},
		"no source":        {strings.Replace(gpu, "    source: data sheet of 2026\n", "", 1), "f.yaml:2:3: accelerators.mine: has no source"},
		"unknown source":   {strings.Replace(gpu, "data sheet of 2026", `"@epok x"`, 1) + "sources: {epoch: y}\n", `no source "epok" under "sources" of this file; did you mean "epoch"?`},
		"bad name":         {strings.Replace(gpu, "mine:", "My GPU:", 1), "f.yaml:2:3: accelerators.My GPU: a name is made of small letters"},
		"taken alias":      {gpu + "    aliases: [a100]\n", `the name "a100" already means`},
		"offer of nothing": {"offers:\n- {provider: x, accelerator: a101, date: 2026-01-01, prices: {spot: 1 USD/h}, source: s}\n", `f.yaml:2:3: offers[0].accelerator: no accelerator "a101" in the catalog; did you mean`},
		"offer per month":  {"offers:\n- {provider: x, accelerator: a100, date: 2026-01-01, prices: {spot: 1 USD}, source: s}\n", "f.yaml:2:69: offers[0].prices.spot: wrong unit"},
		"offer too dear":   {"offers:\n- {provider: x, accelerator: a100, date: 2026-01-01, prices: {spot: 3000 USD/h}, source: s}\n", "USD per accelerator-hour"},
		"offer commitment": {"offers:\n- {provider: x, accelerator: a100, date: 2026-01-01, prices: {2y: 3 USD/h}, source: s}\n", "unknown key"},
		"offer no count":   {"offers:\n- {provider: x, accelerator: a100, date: 2026-01-01, instance_prices: {1y: 3 USD/h}, source: s}\n", "no count of accelerators"},
		"purchase both":    {"purchases:\n- {accelerator: a100, date: 2026-01-01, kind: list, price: 3 USD, total: 4 USD, source: s}\n", "needs either price"},
		"purchase range":   {"purchases:\n- {accelerator: a100, date: 2026-01-01, kind: list, price: 3000 USD, low: 4000 USD, high: 5000 USD, source: s}\n", "are not in order"},
		"power reversed":   {"power:\n  x:\n    sector: all\n    source: s\n    prices: [{from: 2026-02-01, to: 2026-01-01, price: 0.1 USD/kWh}]\n", "needs a period"},
		"wrong shape":      {"models:\n  x: {family: f, layers: 2, hidden: 8, heads: 2, kv_heads: 2, ffn: 16, mlp: gated, vocab: 100000, tied: true, context: 9, norm: rms, params: {total: 1M}, source: s}\n", "off the stated"},
		"heads":            {"models:\n  x: {family: f, layers: 2, hidden: 8, heads: 4, kv_heads: 3, ffn: 16, mlp: gated, vocab: 100000, tied: true, context: 9, norm: rms, params: {total: 800K}, source: s}\n", "f.yaml:2:50: models.x.kv_heads: 4 query heads do not divide over 3"},
		"octal":            {"models:\n  x: {family: f, layers: 012}\n", `expected a whole number, found "012"`},
		"list for mapping": {"models: []\n", "f.yaml:1:9: models: expected a mapping, found a list"},
		"nothing":          {"models:\n", "f.yaml:1:8: models: expected a mapping, found nothing"},
		"date":             {strings.Replace(gpu, "vendor: Me", "vendor: Me\n    released: yesterday", 1), `"yesterday" is not a day; write for example 2026-01-31`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("f.yaml", []byte(x.file))
			var faults Errors
			if !errors.As(err, &faults) {
				t.Fatalf("got %v, want faults", err)
			}
			if !strings.Contains(err.Error(), x.want) {
				t.Errorf("got\n%v\nwant %q", err, x.want)
			}
		})
	}
}

// TestAllFaultsAtOnce: one run shows every fault, in the order of lines, and an
// entry that was not read is not blamed for its empty fields as well.
func TestAllFaultsAtOnce(t *testing.T) {
	_, err := Parse("f.yaml", []byte(strings.NewReplacer("24 GiB", "24", "1 TB/s", "fast").Replace(gpu)+"modles: {}\n"))
	var faults Errors
	if !errors.As(err, &faults) || len(faults) != 3 {
		t.Fatalf("got %d faults, want 3:\n%v", len(faults), err)
	}
	for i, line := range []int{5, 6, 8} {
		if faults[i].Line != line {
			t.Errorf("fault %d is in line %d, want %d", i, faults[i].Line, line)
		}
	}
}

// FuzzParse: no file makes the loader panic, and what it accepts is sane.
func FuzzParse(f *testing.F) {
	f.Add(gpu)
	f.Add("models:\n  x: {family: f, layers: 2, hidden: 8, heads: 2, kv_heads: 2, ffn: 16, mlp: gated, vocab: 100000, tied: true, context: 9, norm: rms, params: {total: 800K}, source: s}\n")
	f.Add("offers:\n- {provider: x, accelerator: a100, date: 2026-01-01, prices: {spot: 1 USD/h}, source: s}\n")
	f.Add("purchases:\n- {accelerator: a100, date: 2026-01-01, kind: list, price: 3000 USD, source: s}\n")
	f.Add("power:\n  x:\n    sector: all\n    source: s\n    prices: [{from: 2026-01-01, to: 2026-01-01, price: 0.1 USD/kWh}]\n")
	f.Add("a: &a [*a]\n")
	f.Add("? {a: b}\n: <<\n")
	f.Fuzz(func(t *testing.T, text string) {
		b := newBuilder()
		b.add("f.yaml", []byte(text))
		c, err := b.build()
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without a message")
			}
			return
		}
		for _, a := range c.Accelerators() {
			if a.Memory <= 0 || a.Bandwidth <= 0 || len(a.Peak) == 0 || (a.Source == "" && !a.Unverified) {
				t.Errorf("accepted %+v", a)
			}
		}
		for _, m := range c.Models() {
			if p := m.Params(); !(p.Total() > 0) || p.Active() > p.Total() || m.KVBytesPerToken(BF16) <= 0 {
				t.Errorf("accepted %+v", m)
			}
		}
		for _, o := range c.Offers() {
			if !(o.Price > 0) || o.Date.IsZero() {
				t.Errorf("accepted %+v", o)
			}
		}
	})
}
