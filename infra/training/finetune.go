package training

import (
	"errors"
	"fmt"
	"math"

	"github.com/stratahq/strata/infra/roofline"
)

// Method is a way to fine-tune.
type Method string

// The ways to fine-tune.
const (
	FullTuning   Method = "full"    // every weight
	LoRA         Method = "lora"    // low-rank adapters beside frozen 16-bit weights
	QLoRA        Method = "qlora"   // adapters beside frozen 4-bit weights
	DPO          Method = "dpo"     // preference pairs against a frozen reference
	Distillation Method = "distill" // a student learns a teacher's distribution
)

// Methods lists the ways to fine-tune.
var Methods = []Method{FullTuning, LoRA, QLoRA, DPO, Distillation}

// nf4Bytes is what a frozen weight takes in QLoRA: four bits and 0.127 bits of
// doubly quantised scales (Dettmers et al. arXiv 2305.14314, 2023-05, section 3).
const nf4Bytes = 4.127 / 8

// adapterState is what adapters keep per parameter: 16-bit weights and gradients
// and two 32-bit moments, without master weights, as the QLoRA paper trains them.
var adapterState = State{Weight: 2, Gradient: 2, Optimizer: 8}

// hostLink is the bandwidth to host memory in bytes/s, one direction: PCIe 4.0
// with 16 lanes (aiconfigurator systems/a100_sxm.yaml, Apache-2.0).
const hostLink = 32e9

// Tuning is a fine-tuning job.
type Tuning struct {
	Method Method
	Shape  *Shape
	// Teacher is the model that a student learns from (distillation only). With
	// StoredLogits its outputs were computed before, and it takes no memory.
	Teacher      *Shape
	StoredLogits bool
	// Rank of the adapters (LoRA and QLoRA), on every matrix of every layer.
	Rank int
	// Examples and Epochs of sequences of SeqLen tokens; a preference pair is one
	// example of two sequences.
	Examples float64
	Epochs   float64
	SeqLen   int
	Batch    int // sequences (pairs for DPO) per step, over all GPUs
	GPU      *roofline.GPU
	GPUs     int
	Price    float64 // USD per GPU-hour
}

// Tuned is what a fine-tuning job takes.
type Tuned struct {
	Trainable float64 // parameters
	FLOP      float64
	Memory    Memory // per GPU
	Sharded   bool   // whether weights and state are divided over the GPUs
	// Paged says that the optimizer's moments live in host memory (QLoRA's paged
	// optimizer), because they do not fit beside the rest.
	Paged    bool
	Hours    float64
	GPUHours float64
	Cost     float64
}

// ErrTuning is a fine-tuning job that cannot be.
var ErrTuning = errors.New("the fine-tuning job cannot be estimated")

// adapters counts the parameters of low-rank adapters on every matrix.
func adapters(s *Shape, rank int) float64 {
	n := 0.0
	for _, m := range s.attention() {
		n += float64(rank) * float64(m.in+m.out)
	}
	n *= float64(s.Layers)
	one := func(width int) (sum float64) {
		for _, m := range s.mlp(width) {
			sum += float64(rank) * float64(m.in+m.out)
		}
		return sum
	}
	n += float64(s.Layers-s.moeLayers()) * one(s.FFN)
	if m := s.MoE; m != nil {
		n += float64(s.moeLayers()) * float64(m.Experts+m.Shared) * one(m.FFN)
	}
	return n
}

// Tune estimates a fine-tuning job. It divides weights and state over the GPUs
// (FSDP) when they do not fit otherwise, recomputes all activations, and takes
// one sequence at a time per GPU; QLoRA pages its optimizer to the host before it
// gives up. A job that does not fit even so is refused with
// an [*ErrDoesNotFit].
//
// Arithmetic per token of a model with N active parameters: full 6N; LoRA 4N,
// since frozen weights need no gradients, and 6 per adapter weight; QLoRA the
// same and turning weights into 16 bits in each pass; DPO 6N for the policy and
// 2N for the reference, on both answers of a pair (Rafailov et al. arXiv
// 2305.18290, 2023-05); distillation 6N for the student and 2N for the teacher.
// Recomputing adds another 2N of the trained model.
func (c *Constants) Tune(t Tuning) (Tuned, error) {
	if t.Shape == nil || t.GPU == nil {
		return Tuned{}, fmt.Errorf("%w: it needs a model and a GPU", ErrTuning)
	}
	if err := errors.Join(t.Shape.Validate(), t.GPU.Validate()); err != nil {
		return Tuned{}, fmt.Errorf("%w: %w", ErrTuning, err)
	}
	switch {
	case t.GPUs < 1 || t.Batch < 1 || t.SeqLen < 1:
		return Tuned{}, fmt.Errorf("%w: GPUs (%d), batch (%d) and sequence length (%d) must be at least 1", ErrTuning, t.GPUs, t.Batch, t.SeqLen)
	case !(t.Examples > 0) || !(t.Epochs > 0):
		return Tuned{}, fmt.Errorf("%w: examples (%v) and epochs (%v) must be above zero", ErrTuning, t.Examples, t.Epochs)
	case (t.Method == LoRA || t.Method == QLoRA) && t.Rank < 1:
		return Tuned{}, fmt.Errorf("%w: adapters need a rank of at least 1", ErrTuning)
	case t.Method == Distillation && t.Teacher == nil:
		return Tuned{}, fmt.Errorf("%w: distillation needs a teacher", ErrTuning)
	case !(t.Price >= 0):
		return Tuned{}, fmt.Errorf("%w: the price is %v USD/h", ErrTuning, t.Price)
	}
	if t.Teacher != nil {
		if err := t.Teacher.Validate(); err != nil {
			return Tuned{}, fmt.Errorf("%w: teacher: %w", ErrTuning, err)
		}
	}
	total, active := t.Shape.Params()
	tokens := t.Examples * t.Epochs * float64(t.SeqLen)
	sequences := 1.0
	base := t.Shape.FLOPs(1, float64(t.SeqLen), true) // six units of N per token
	forward := base / 3
	out := Tuned{Trainable: total}
	frozen := 0.0 // bytes of weights that are not trained
	trained := MixedAdam
	var perToken float64
	switch t.Method {
	case FullTuning:
		perToken = base
	case LoRA, QLoRA:
		out.Trainable = adapters(t.Shape, t.Rank)
		trained = adapterState
		perToken = 2*forward + 6*out.Trainable*active/total
		frozen = total * half
		if t.Method == QLoRA {
			// Embeddings and the output layer stay in 16 bits.
			frozen = (total-t.Shape.embedding())*nf4Bytes + t.Shape.embedding()*half
		}
	case DPO:
		tokens *= 2
		sequences = 2
		perToken = base + forward
		frozen = total * half
	case Distillation:
		perToken = base
		if !t.StoredLogits {
			teacherTotal, _ := t.Teacher.Params()
			perToken += t.Teacher.FLOPs(1, float64(t.SeqLen), true) / 3
			frozen = teacherTotal * half
		}
	default:
		return Tuned{}, fmt.Errorf("%w: method %q is not one of %v", ErrTuning, t.Method, Methods)
	}
	out.FLOP = perToken * tokens

	stack := "fsdp-compile"
	if t.GPU.Generation == "volta" {
		stack = "blind-unfused"
	}
	st, err := c.Stack(stack)
	if err != nil {
		return Tuned{}, err
	}
	l := Layout{DP: t.GPUs, MicroBatch: 1, GlobalBatch: t.GPUs, SeqLen: t.SeqLen, Recompute: RecomputeFull, Precision: "bf16"}.withDefaults()
	activations := MemoryOf(t.Shape, l, st, State{})
	ranks := float64(t.GPUs)
	fit := func(div float64) Memory {
		m := Memory{Weights: (frozen + out.Trainable*trained.Weight) / div, Gradients: out.Trainable * trained.Gradient / div,
			Optimizer: out.Trainable * trained.Optimizer / div, Activations: activations.Activations * sequences, Working: activations.Working * sequences}
		if div > 1 {
			m.Working += 2 * (frozen + out.Trainable*trained.Weight) / float64(t.Shape.Layers)
		}
		if t.Method == QLoRA {
			// One layer at a time is turned into 16 bits.
			m.Working += total / float64(t.Shape.Layers) * half
		}
		return m
	}
	out.Memory = fit(1)
	if out.Memory.Total() > t.GPU.Memory*usable && ranks > 1 {
		out.Memory, out.Sharded = fit(ranks), true
	}
	if t.Method == QLoRA && out.Memory.Total() > t.GPU.Memory*usable {
		out.Memory.Optimizer, out.Paged = 0, true
	}
	if out.Memory.Total() > t.GPU.Memory*usable {
		return out, &ErrDoesNotFit{Layout: l, Memory: out.Memory, GPU: t.GPU.Name, Have: t.GPU.Memory}
	}

	// Time by the share of peak that a full step of this shape reaches, with what
	// recomputing adds taken out and put on again for this method.
	d := c.Device(t.GPU)
	// A micro-batch of a few thousand tokens, as jobs pack them.
	l.MicroBatch = max(1, 4096/t.SeqLen)
	l.GlobalBatch = l.MicroBatch * max(1, t.Batch/max(1, l.MicroBatch*t.GPUs)) * t.GPUs
	if out.Sharded {
		l.Shard = ShardParameters
	}
	times, err := StepTime(d, t.Shape, l, st)
	if err != nil {
		return Tuned{}, err
	}
	stepTokens := float64(l.GlobalBatch) * float64(l.SeqLen)
	rate := (base + forward) * stepTokens / times.Step // FLOP/s of the cluster
	seconds := (perToken + forward) * tokens / rate
	if t.Method == QLoRA {
		// Three passes read four bits and write and read sixteen, per micro-batch.
		passes := 3 * tokens / (float64(l.MicroBatch) * float64(l.SeqLen)) / ranks
		seconds += d.Stream(total*(nf4Bytes+2*half), 1) * passes
	}
	if out.Paged {
		// Every step brings both moments in and takes them back.
		steps := tokens / sequences / float64(t.SeqLen) / float64(t.Batch)
		seconds += 2 * out.Trainable * trained.Optimizer / hostLink * steps
	}
	out.Hours = seconds / 3600
	out.GPUHours = out.Hours * ranks
	out.Cost = out.GPUHours * t.Price
	if math.IsNaN(out.Hours) || math.IsInf(out.Hours, 0) {
		return Tuned{}, fmt.Errorf("%w: the time is not a number", ErrTuning)
	}
	return out, nil
}
