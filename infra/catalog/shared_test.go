package catalog

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// shared is a file of the data that the catalog was made from; the test is
// skipped where it is not at hand.
func shared(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "data", "econ", name))
	if err != nil {
		t.Skipf("the source is not at hand: %v", err)
	}
	return data
}

// TestAcceleratorsAgreeWithAiconfigurator compares figures with the system
// specifications that they cite.
func TestAcceleratorsAgreeWithAiconfigurator(t *testing.T) {
	c := mustLoad(t)
	for file, name := range map[string]string{
		"a100_sxm": "a100-sxm-80", "a100_pcie": "a100-pcie-80", "h100_sxm": "h100-sxm-80", "h100_pcie": "h100-pcie-80", "h200_sxm": "h200-sxm-141",
		"b200_sxm": "b200-sxm-180", "b300_sxm": "b300-sxm", "gb200": "gb200-nvl72", "gb300": "gb300-nvl72", "l4": "l4", "l40s": "l40s",
		"rtx_pro_6000_server": "rtx-pro-6000-server",
	} {
		var spec struct {
			GPU struct {
				Bandwidth float64 `yaml:"mem_bw"`
				Memory    float64 `yaml:"mem_capacity"`
				BF16      float64 `yaml:"bfloat16_tc_flops"`
				FP8       float64 `yaml:"fp8_tc_flops"`
				FP4       float64 `yaml:"fp4_tc_flops"`
				INT8      float64 `yaml:"int8_tc_flops"`
				Power     float64 `yaml:"power"`
			} `yaml:"gpu"`
			Node struct {
				Inter float64 `yaml:"inter_node_bw"`
				Intra float64 `yaml:"intra_node_bw"`
			} `yaml:"node"`
		}
		if err := yaml.Unmarshal(shared(t, "aiconfigurator/systems/"+file+".yaml"), &spec); err != nil {
			t.Fatal(err)
		}
		a, err := c.Accelerator(name)
		if err != nil {
			t.Fatal(err)
		}
		for what, x := range map[string][2]float64{
			"bandwidth": {a.Bandwidth, spec.GPU.Bandwidth}, "memory": {a.Memory, spec.GPU.Memory}, "power": {a.TDP, spec.GPU.Power},
			"bf16": {a.Peak[BF16], spec.GPU.BF16}, "fp8": {a.Peak[FP8], spec.GPU.FP8}, "fp4": {a.Peak[FP4], spec.GPU.FP4}, "int8": {a.Peak[INT8], spec.GPU.INT8},
		} {
			if !near(x[0], x[1], 0.001) {
				t.Errorf("%s: %s of %g, in %s %g", name, what, x[0], file, x[1])
			}
		}
		// PCIe stands in the file as the link of cards that have no NVLink.
		if a.Form != "pcie" && a.Link.Bandwidth != spec.Node.Intra {
			t.Errorf("%s: link of %g, in %s %g", name, a.Link.Bandwidth, file, spec.Node.Intra)
		}
		// In a rack of 72 the next node is still on NVLink.
		if a.Network != 0 && a.Link.Domain <= 8 && a.Network != spec.Node.Inter {
			t.Errorf("%s: network of %g, in %s %g", name, a.Network, file, spec.Node.Inter)
		}
	}
}

// TestPricesAreEpochs finds every offer and purchase that cites Epoch's table
// in that table, by day and price.
func TestPricesAreEpochs(t *testing.T) {
	text := strings.TrimPrefix(string(shared(t, "epoch-training-cost/Hardware prices.csv")), "\ufeff")
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := func(name string) int {
		i := slices.Index(rows[0], name)
		if i < 0 {
			t.Fatalf("no column %q in %v", name, rows[0])
		}
		return i
	}
	day := column("Price date")
	columns := map[string]int{
		string(OnDemand): column("Price per chip-hour (on-demand)"), string(OneYear): column("Price per chip-hour (1-year CUD)"),
		string(ThreeYears): column("Price per chip-hour (3-year CUD)"), "purchase": column("Price (hardware purchase)"),
	}
	known := map[string]bool{}
	key := func(kind, day string, price float64) string { return fmt.Sprintf("%s %s %.2f", kind, day, price) }
	for _, r := range rows[1:] {
		for kind, i := range columns {
			if v, err := strconv.ParseFloat(strings.ReplaceAll(r[i], ",", ""), 64); err == nil {
				known[key(kind, r[day], v)] = true
			}
		}
	}
	c := mustLoad(t)
	found := 0
	const cite = "epoch-training-cost/Hardware prices.csv (Epoch AI"
	for _, o := range c.Offers() {
		if !strings.Contains(o.Source, cite) {
			continue
		}
		found++
		if !known[key(string(o.Commitment), o.Date.String(), o.Price)] {
			t.Errorf("%+v is not in the table", o)
		}
	}
	all, err := c.Purchases("")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if !strings.Contains(p.Source, cite) {
			continue
		}
		found++
		if !known[key("purchase", p.Date.String(), p.Price)] {
			t.Errorf("%+v is not in the table", p)
		}
	}
	if found < 300 {
		t.Errorf("only %d prices cite the table", found)
	}
}
