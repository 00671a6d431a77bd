package training

import (
	"errors"
	"fmt"
	"math"
)

// LlamaMTBF is the mean time between unexpected interruptions per GPU in hours:
// 419 of them in 54 days on 16,384 H100 (Llama 3, arXiv 2407.21783, 2024-07,
// section 3.3.4).
const LlamaMTBF = 54 * 24 * 16384 / 419.0

// Failures describes how often a cluster stops and what that costs.
type Failures struct {
	// MTBF is the mean time between failures of one GPU (with its share of host,
	// network and software) in hours; zero means that nothing fails.
	MTBF float64
	// Checkpoint is how long training stands still to write one, and Restart how
	// long from a failure to the first step after it, both in hours.
	Checkpoint, Restart float64
	// Interval between checkpoints in hours; zero means the best one (Daly).
	Interval float64
}

// ErrFailures is a description of failures that cannot be.
var ErrFailures = errors.New("failures are described wrongly")

// Validate refuses negative and infinite times.
func (f Failures) Validate() error {
	for _, p := range []struct {
		name string
		v    float64
	}{{"MTBF", f.MTBF}, {"checkpoint time", f.Checkpoint}, {"restart time", f.Restart}, {"checkpoint interval", f.Interval}} {
		if !(p.v >= 0) || math.IsInf(p.v, 0) {
			return fmt.Errorf("%w: %s is %v hours, and must be a number of at least 0", ErrFailures, p.name, p.v)
		}
	}
	return nil
}

// YoungInterval is Young's first-order best time between checkpoints, in the
// unit of its arguments: the square root of twice the time of a checkpoint times
// the cluster's mean time between failures (Young, CACM 17(9), 1974).
func YoungInterval(checkpoint, mtbf float64) float64 { return math.Sqrt(2 * checkpoint * mtbf) }

// DalyInterval is Daly's higher-order best time between checkpoints (Daly,
// Future Generation Computer Systems 22, 2006, equation 37).
func DalyInterval(checkpoint, mtbf float64) float64 {
	if checkpoint >= 2*mtbf {
		return mtbf
	}
	r := checkpoint / (2 * mtbf)
	return math.Sqrt(2*checkpoint*mtbf)*(1+math.Sqrt(r)/3+r/9) - checkpoint
}

// Goodput is the share of wall time that is training which lasts, on a cluster
// of gpus, and the interval between checkpoints in hours that it holds for:
// Daly's complete model of exponential failures, restarts that can fail too, and
// work lost since the last checkpoint (equation 20 of the paper above).
func (f Failures) Goodput(gpus int) (share, interval float64, err error) {
	if err := f.Validate(); err != nil {
		return 0, 0, err
	}
	if gpus < 1 {
		return 0, 0, fmt.Errorf("%w: %d GPUs", ErrFailures, gpus)
	}
	if f.MTBF == 0 {
		if f.Interval > 0 {
			return f.Interval / (f.Interval + f.Checkpoint), f.Interval, nil
		}
		return 1, math.Inf(1), nil
	}
	mtbf := f.MTBF / float64(gpus)
	interval = f.Interval
	if interval == 0 {
		interval = DalyInterval(f.Checkpoint, mtbf)
		if interval <= 0 { // checkpoints cost nothing: as often as one likes
			interval = mtbf / 1000
		}
	}
	// Wall time per interval of lasting work.
	wall := mtbf * math.Exp(f.Restart/mtbf) * math.Expm1((interval+f.Checkpoint)/mtbf)
	if math.IsInf(wall, 0) || wall <= 0 {
		return 0, interval, nil
	}
	return interval / wall, interval, nil
}

// CheckpointTime is how long writing a checkpoint stops training, in hours:
// weights and optimizer state of all parameters over the bandwidth to storage in
// bytes/s, of which the share hidden is written while training goes on.
func CheckpointTime(params, bytesPerParam, bandwidth, hidden float64) (float64, error) {
	if !(params > 0) || !(bytesPerParam > 0) || !(bandwidth > 0) || !(hidden >= 0 && hidden <= 1) {
		return 0, fmt.Errorf("%w: a checkpoint of %v parameters of %v bytes at %v B/s with %v of it hidden", ErrFailures, params, bytesPerParam, bandwidth, hidden)
	}
	return params * bytesPerParam / bandwidth * (1 - hidden) / 3600, nil
}
