// Package roofline says how long one device, or one group of linked devices,
// takes for the operations that language models are made of: matrix products,
// attention, passes over memory, and collectives.
//
// A time is the larger of what arithmetic needs and what memory needs, each at
// the share of its peak that is reached in practice ([Efficiency]). The shares
// are few, have a physical meaning, and belong to a generation of GPUs; package
// training fits them over many measured runs and never to one.
//
// Units are base units: FLOP/s, bytes, bytes/s, seconds.
package roofline

import (
	"fmt"
	"math"
)

// GPU is one accelerator as the time model sees it.
type GPU struct {
	Name string
	// Peak is the dense rate of matrix arithmetic per number format ("fp16",
	// "bf16", "fp8"), in FLOP/s.
	Peak map[string]float64
	// Memory is the capacity in bytes, Bandwidth the peak memory bandwidth in
	// bytes/s.
	Memory, Bandwidth float64
	// SM is the number of multiprocessors: a matrix product runs in waves of so
	// many tiles. Zero means unknown, and no wave effect.
	SM int
	// Link is the bandwidth to the other GPUs of the scale-up domain, per GPU and
	// one direction, in bytes/s; Domain is how many GPUs that domain joins.
	Link   float64
	Domain int
	// Network is the bandwidth between domains per GPU, one direction, bytes/s.
	Network float64
	// Host is the bandwidth to the host's memory, one direction, bytes/s; 0 means
	// unknown, and nothing can be offloaded.
	Host float64
	// Generation picks the efficiency constants: "volta", "ampere", "hopper".
	Generation string
}

// PeakOf is the peak for a number format; bf16 and fp16 stand for each other
// where one is missing.
func (g *GPU) PeakOf(dtype string) (float64, error) {
	if v := g.Peak[dtype]; v > 0 {
		return v, nil
	}
	other := map[string]string{"fp16": "bf16", "bf16": "fp16"}[dtype]
	if v := g.Peak[other]; v > 0 {
		return v, nil
	}
	return 0, fmt.Errorf("GPU %s has no peak rate for %q", g.Name, dtype)
}

// Validate refuses a GPU that nothing can be computed for.
func (g *GPU) Validate() error {
	switch {
	case len(g.Peak) == 0:
		return fmt.Errorf("GPU %q has no peak rate", g.Name)
	case g.Memory <= 0 || g.Bandwidth <= 0:
		return fmt.Errorf("GPU %q needs a memory capacity and a memory bandwidth above zero", g.Name)
	case g.Domain > 1 && g.Link <= 0:
		return fmt.Errorf("GPU %q joins %d in a domain but has no link bandwidth", g.Name, g.Domain)
	}
	return nil
}

// Efficiency holds the shares of peak that one generation of GPUs reaches.
type Efficiency struct {
	// Gemm is the share of peak of a large matrix product, after clocks have
	// settled under power.
	Gemm float64
	// Wave is how many waves of tiles are lost to the ragged last wave, and K0
	// the inner length at which half of a product's time is prologue.
	Wave, K0 float64
	// Memory is the share of memory bandwidth of a streaming kernel.
	Memory float64
	// Flash is the share of peak of a fused attention kernel's forward pass;
	// FlashBack of its backward pass.
	Flash, FlashBack float64
	// FP8 is the further share of the FP8 peak that remains after casts and
	// scales, relative to Gemm.
	FP8 float64
	// Link and Network are the shares of the link's and of the network's
	// bandwidth that a large collective moves data at.
	Link, Network float64
	// Hop is the time of one step of a ring over the network, in seconds: a ring of
	// n GPUs takes n-1 of them whatever the size of the message.
	Hop float64
	// Contention is the share of the shorter of two overlapped activities that
	// still shows, because communication takes multiprocessors and bandwidth.
	Contention float64
}

// Latencies of one step of a collective in seconds, from the system files of
// Calculon (Apache-2.0, commit caa4b11, 2024-02-22): NVLink and network.
const (
	LinkLatency    = 10e-6
	NetworkLatency = 20e-6
)

// launch is the time between two kernels of one stream, in seconds; a kernel
// shorter than this costs it anyway.
const launch = 4e-6

// tile is the output tile of a matrix product kernel: 128 by 256 is what CUTLASS
// and cuBLAS use for large half-precision products.
const tileM, tileN = 128, 256

// Device is a GPU with its efficiency.
type Device struct {
	*GPU
	Eff Efficiency
}

// Gemm is the time of count products of an m by k with a k by n matrix, run
// together, in seconds. Elements have the given bytes in memory.
func (d Device) Gemm(dtype string, m, n, k, count, bytes float64) float64 {
	if m <= 0 || n <= 0 || k <= 0 || count <= 0 {
		return 0
	}
	peak, err := d.PeakOf(dtype)
	if err != nil {
		return math.Inf(1)
	}
	share := d.Eff.Gemm * k / (k + d.Eff.K0)
	if d.SM > 0 {
		// Small products use smaller tiles at a lower rate: at least one tile.
		waves := math.Max(1, m/tileM) * math.Max(1, n/tileN) * count / float64(d.SM)
		share *= waves / (waves + d.Eff.Wave)
	}
	if dtype == "fp8" {
		share *= d.Eff.FP8
	}
	arithmetic := 2 * m * n * k * count / (peak * share)
	memory := bytes * count * (m*k + k*n + m*n) / (d.Bandwidth * d.Eff.Memory)
	return math.Max(arithmetic, memory) + launch
}

// Stream is the time to move bytes between the chip and its memory in the given
// number of kernels, in seconds.
func (d Device) Stream(bytes, kernels float64) float64 {
	if bytes <= 0 {
		return 0
	}
	return bytes/(d.Bandwidth*d.Eff.Memory) + kernels*launch
}

// Flash is the time of fused attention with the given arithmetic, forward or
// backward, in seconds.
func (d Device) Flash(dtype string, flop float64, backward bool) float64 {
	peak, err := d.PeakOf(dtype)
	if err != nil {
		return math.Inf(1)
	}
	share := d.Eff.Flash
	if backward {
		share = d.Eff.FlashBack
	}
	return flop/(peak*share) + launch
}

// Gather is the time of an all-gather, or of a reduce-scatter, whose whole is
// bytes, over n GPUs of which near share one scale-up domain, in seconds. The
// links inside a domain and the network between domains work at the same time;
// all network cards of a domain carry the group's data when the group fills it.
func (d Device) Gather(bytes float64, n, near int) float64 {
	if n <= 1 || bytes <= 0 {
		return 0
	}
	near = max(1, min(near, n))
	inside, between := 0.0, 0.0
	if near > 1 {
		inside = bytes*float64(near-1)/float64(near)/(d.Link*d.Eff.Link) + LinkLatency
	}
	if n > near {
		domains := float64(n) / float64(near)
		between = bytes*(domains-1)/domains/(d.GPU.Network*d.Eff.Network*float64(near)) +
			NetworkLatency + d.Eff.Hop*float64(n-1)
	}
	return math.Max(inside, between)
}

// AllReduce is the time of a sum over n GPUs of bytes each, in seconds: a
// reduce-scatter and an all-gather.
func (d Device) AllReduce(bytes float64, n, near int) float64 {
	return 2 * d.Gather(bytes, n, near)
}

// AllToAll is the time in which each of n GPUs sends bytes in all, evenly to
// the others, in seconds.
func (d Device) AllToAll(bytes float64, n, near int) float64 {
	if n <= 1 || bytes <= 0 {
		return 0
	}
	near = max(1, min(near, n))
	far := float64(n-near) / float64(n)
	inside := bytes * (1 - far - 1/float64(n)) / (d.Link * d.Eff.Link)
	between := 0.0
	if far > 0 {
		between = bytes*far/(d.GPU.Network*d.Eff.Network) + NetworkLatency
	}
	return math.Max(inside, between) + LinkLatency
}

// ToHost is the time to move bytes to or from the host's memory, in seconds, at
// the share of the bus that a large copy reaches (80 %, like any stream).
func (d Device) ToHost(bytes float64) float64 {
	if bytes <= 0 {
		return 0
	}
	if d.Host <= 0 {
		return math.Inf(1)
	}
	return bytes / (d.Host * d.Eff.Memory)
}

// Send is the time to hand bytes to a GPU of another domain, in seconds.
func (d Device) Send(bytes float64) float64 {
	return bytes/(d.GPU.Network*d.Eff.Network) + NetworkLatency
}

// Overlap is the time of two activities that run side by side: the longer one,
// and the share of the shorter one that contention leaves visible.
func (d Device) Overlap(a, b float64) float64 {
	return math.Max(a, b) + d.Eff.Contention*math.Min(a, b)
}
