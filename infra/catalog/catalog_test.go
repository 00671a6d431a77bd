package catalog

import "testing"

func mustLoad(t *testing.T) *Catalog {
	t.Helper()
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return c
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
}
