package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCatalogShow(t *testing.T) {
	for _, x := range []struct {
		args         []string
		want, forbid []string
	}{
		{[]string{"show", "H100 PCIe"},
			[]string{"756.5", "1513", "report-2023 has 1513 TFLOP/s of fp16: with sparsity", "1.98", "source: NVIDIA H100", "entry: catalog/accelerators.yaml:"},
			[]string{"UNVERIFIED", "NaN"}},
		{[]string{"show", "ascend-910b"}, []string{"UNVERIFIED", "376"}, []string{"with sparsity  1"}},
		{[]string{"show", "deepseek-ai/DeepSeek-V3"},
			[]string{"61 of width 7168", "KV rank 512", "8 of 256 of 2048 each, 1 shared of 2048, 3 dense layers", "671.026B from the shape, 671B stated (+0.00%)", "70272 bytes a token"},
			[]string{"for keys and values"}},
		{[]string{"show", "us"}, []string{"0.0806", "2023-12-31", "Energy Information Administration"}, nil},
		{[]string{"list", "accelerators", "--search", "ascend"}, []string{"ascend-910b", "?"}, []string{"h100"}},
		{[]string{"list", "models", "--search", "qwen3-235b"}, []string{"235.09B", "22.19B", "8 of 128"}, []string{"llama"}},
		{[]string{"list", "offers", "--accelerator", "v100-32g", "--at", "2019-01-31"}, []string{"p3dn.24xlarge", "2.29", "1y"}, []string{"2022"}},
		{[]string{"list", "offers", "--accelerator", "h100", "--history"}, []string{"2024-01-29", "2025-02-28"}, []string{"a100"}},
		{[]string{"list", "purchases", "--accelerator", "a100-40g"}, []string{"DGX A100", "25000"}, []string{"h100"}},
		{[]string{"list"}, []string{"accelerators", "unverified"}, nil},
		{[]string{"check"}, []string{"no faults"}, nil},
	} {
		code, out, errs := runStrata(t, append([]string{"catalog"}, x.args...)...)
		if code != exitOK || errs != "" {
			t.Errorf("%v: exit code %d: %s", x.args, code, errs)
		}
		for _, s := range x.want {
			if !strings.Contains(out, s) {
				t.Errorf("%v: no %q in\n%s", x.args, s, out)
			}
		}
		for _, s := range x.forbid {
			if strings.Contains(out, s) {
				t.Errorf("%v: %q in\n%s", x.args, s, out)
			}
		}
	}
}

func TestCatalogJSON(t *testing.T) {
	code, out, errs := runStrata(t, "catalog", "show", "h200", "--json")
	var a struct {
		Name   string             `json:"name"`
		Peak   map[string]float64 `json:"peak_flops"`
		Source string             `json:"source"`
		Offers []struct {
			Price float64 `json:"usd_per_accelerator_hour"`
			Date  string  `json:"date"`
		} `json:"offers"`
	}
	if err := json.Unmarshal([]byte(out), &a); code != exitOK || err != nil {
		t.Fatalf("exit code %d, %v: %s", code, err, errs)
	}
	if a.Name != "h200-sxm-141" || a.Peak["bf16"] != 989.5e12 || a.Source == "" || len(a.Offers) == 0 || len(a.Offers[0].Date) != 10 {
		t.Errorf("got %+v", a)
	}
	code, out, _ = runStrata(t, "catalog", "list", "models", "--jq", `select(.name == "gpt-3-175b") | .layers`)
	if code != exitOK || strings.TrimSpace(out) != "96" {
		t.Errorf("exit code %d: %q", code, out)
	}
}

func TestCatalogRefuses(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("offers:\n- {provider: x, accelerator: a101, date: 2026-01-01, prices: {spot: 1 USD/h}, source: s}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"show", "h100x"}, exitNoData, "did you mean h100-"},
		{[]string{"list", "models", "--search", "nobody's"}, exitNoData, "no models like that"},
		{[]string{"list", "offers", "--accelerator", "h10"}, exitNoData, "did you mean"},
		{[]string{"list", "gpus"}, exitUsage, "expected one of accelerators, models, offers, purchases, power"},
		{[]string{"list", "offers", "--at", "soon"}, exitUsage, "is no day"},
		{[]string{"check", bad}, exitUsage, bad + ":2:3: offers[0].accelerator: no accelerator \"a101\""},
		{[]string{"check", filepath.Join(t.TempDir(), "none.yaml")}, exitUsage, "none.yaml"},
		{[]string{"list", "models", "--catalog", bad}, exitUsage, "a101"},
	} {
		code, out, errs := runStrata(t, append([]string{"catalog"}, x.args...)...)
		if code != x.code || !strings.Contains(errs, x.want) || out != "" {
			t.Errorf("%v: exit code %d, want %d\n%s%s", x.args, code, x.code, out, errs)
		}
	}
	code, out, _ := runStrata(t, "catalog", "check", bad, "--json")
	var fault struct {
		Line int    `json:"line"`
		Path string `json:"path"`
	}
	if err := json.Unmarshal([]byte(out), &fault); err != nil || code != exitUsage || fault.Line != 2 || fault.Path != "offers[0].accelerator" {
		t.Errorf("exit code %d, %v: %s", code, err, out)
	}
}
