package catalog

import (
	"fmt"
	"slices"
	"strings"
)

// DType is a number format of arithmetic.
type DType string

// The number formats. FP16 and BF16 run at one rate on every accelerator here
// but V100 and T4, which have no BF16.
const (
	FP32 DType = "fp32"
	TF32 DType = "tf32"
	FP16 DType = "fp16"
	BF16 DType = "bf16"
	FP8  DType = "fp8"
	FP4  DType = "fp4"
	INT8 DType = "int8"
)

var dtypes = []DType{FP32, TF32, FP16, BF16, FP8, FP4, INT8}

// DTypes lists the number formats, widest first.
func DTypes() []DType { return slices.Clone(dtypes) }

// Bytes is how many bytes one number takes in memory, without scale factors.
func (d DType) Bytes() float64 {
	switch d {
	case FP32, TF32:
		return 4
	case FP16, BF16:
		return 2
	case FP8, INT8:
		return 1
	case FP4:
		return 0.5
	}
	return 0
}

// Accelerator is one device as a scheduler sees it: one GPU, one TPU chip, one
// Trainium chip.
type Accelerator struct {
	Name    string   `yaml:"-" json:"name"`
	Title   string   `yaml:"title" json:"title"` // as its vendor writes it
	Aliases []string `yaml:"aliases" json:"aliases,omitempty"`
	Vendor  string   `yaml:"vendor" json:"vendor"`
	// Released is the day of release or announcement.
	Released Date `yaml:"released" json:"released,omitzero"`
	// Form is sxm, pcie, oam, module or chip.
	Form string `yaml:"form" json:"form,omitempty"`
	// Peak is the dense peak rate of matrix arithmetic per number format, in
	// FLOP/s (INT8: operations a second); FP32 is the rate without tensor cores
	// where the two differ. A format that is absent is not supported, or has no
	// sourced figure.
	Peak map[DType]float64 `yaml:"peak" unit:"FLOP/s" json:"peak_flops"`
	// SparsePeak is the peak with 2:4 structured sparsity, which language models
	// do not use in practice. It is never mixed with Peak.
	SparsePeak map[DType]float64 `yaml:"sparse_peak" unit:"FLOP/s" json:"sparse_peak_flops,omitempty"`
	// AsReported holds the figure that somebody else used for this accelerator
	// and that is not like for like, such as report-2023's 1,513 TFLOP/s.
	AsReported map[string]Reported `yaml:"as_reported" json:"as_reported,omitempty"`
	// Memory is the capacity in bytes. The "80 GB" of a data sheet are 80 GiB
	// of DRAM; where the source reads the usable size from the device, that.
	Memory float64 `yaml:"memory" unit:"B" json:"memory_bytes"`
	// Bandwidth is the peak memory bandwidth in bytes/s.
	Bandwidth float64 `yaml:"bandwidth" unit:"B/s" json:"bandwidth_bytes_per_s"`
	// Link is the scale-up fabric, such as NVLink.
	Link Link `yaml:"link" json:"link,omitzero"`
	// HostLink is the bandwidth to the host in bytes/s, one direction.
	HostLink float64 `yaml:"host_link" unit:"B/s" json:"host_link_bytes_per_s,omitempty"`
	// Network is the usual scale-out bandwidth per accelerator in bytes/s, one
	// direction, in the reference system that the source names.
	Network float64 `yaml:"network" unit:"B/s" json:"network_bytes_per_s,omitempty"`
	// TDP is the thermal design power in watts: of the device, not of the server.
	TDP        float64 `yaml:"tdp" unit:"W" json:"tdp_watts,omitempty"`
	Provenance `yaml:",inline"`
}

// Link is the fabric that joins the accelerators of one scale-up domain.
type Link struct {
	Name string `yaml:"name" json:"name"`
	// Bandwidth is per accelerator and one direction, over all its links: half
	// of the figure that NVIDIA prints for NVLink (A100: 600 GB/s both ways,
	// 300 GB/s here).
	Bandwidth float64 `yaml:"bandwidth" unit:"B/s" json:"bandwidth_bytes_per_s"`
	// Domain is how many accelerators the fabric joins in the usual system.
	Domain int `yaml:"domain" json:"domain,omitempty"`
}

// Reported is a figure as somebody reported it.
type Reported struct {
	Peak  map[DType]float64 `yaml:"peak" unit:"FLOP/s" json:"peak_flops,omitempty"`
	Note  string            `yaml:"note" json:"note"`
	Where string            `yaml:"source" json:"source"`
}

// HalfPeak is the dense peak of 16-bit arithmetic in FLOP/s: of BF16, or of
// FP16 where there is no BF16 (V100, T4).
func (a *Accelerator) HalfPeak() float64 { return max(a.Peak[BF16], a.Peak[FP16]) }

// PeakOf is the dense peak of a number format in FLOP/s. A format that the
// accelerator does not have is an error, which says what there is.
func (a *Accelerator) PeakOf(d DType) (float64, error) {
	if v, ok := a.Peak[d]; ok {
		return v, nil
	}
	var have []string
	for _, d := range dtypes {
		if _, ok := a.Peak[d]; ok {
			have = append(have, string(d))
		}
	}
	return 0, fmt.Errorf("accelerator %s has no peak rate for %q; it has %s", a.Name, d, strings.Join(have, ", "))
}
