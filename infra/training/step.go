package training

import (
	"math"

	"github.com/stratahq/strata/infra/roofline"
)

// Stack is the training software, as far as it decides which kernels and
// messages there are. Slow is what a stack loses beside all that is modelled
// (Python, launches, stragglers, clocks under its power limit): the one constant
// fitted per stack, over all of its runs.
type Stack struct {
	Name string
	// Flash means fused attention that keeps no attention matrix.
	Flash bool
	// Dropout and Bias are kernels that older models have.
	Dropout bool
	// Passes scales the traffic of element-wise operations: 1 for fused kernels,
	// above 1 for eager execution.
	Passes float64
	// HideBackward overlaps tensor-parallel messages of the backward pass with
	// weight gradients; HideForward overlaps those of both passes.
	HideBackward, HideForward bool
	// HideData overlaps gradient reduction with the backward pass.
	HideData bool
	// GradientBytes is what one gradient takes on the wire.
	GradientBytes float64
	// FusedLoss is a loss kernel that keeps half-precision logits only and writes
	// their gradient in their place.
	FusedLoss bool
	// State is what is kept per parameter.
	State State
	Slow  float64
	// Kept is a further loss of runs that keep all activations, and AttentionSlow
	// how much slower the stack's fused attention is than the best of its time.
	Kept, AttentionSlow float64
	// RingSlow is how much slower attention is in blocks around a ring.
	RingSlow float64
}

// Times is the time of one step and what it is made of, in seconds. The parts
// are those of the stage that sets the pace, summed over its micro-batches.
type Times struct {
	Step float64
	// Matrix products, attention core, element-wise passes, recomputation,
	// output layer and loss: of the slowest stage.
	Gemm, Attention, Elementwise, Recompute, Head float64
	// Tensor, expert and context messages that show; FSDP gathers that show.
	TensorComm, ExpertComm, ContextComm, ShardComm float64
	Bubble, PipelineComm, DataComm, Optimizer      float64
	// Offload is what copies to and from the host show.
	Offload float64
}

// optimizerBytes is the traffic of one Adam step per parameter: Adam itself
// reads gradient, master weight and two moments and writes three of them (28),
// casting the weight costs 6, unscaling and norm and clipping of a 32-bit
// gradient 16, and clearing it 4.
const optimizerBytes = 54

// lossBytes is the traffic of the loss per logit beside the product itself:
// cast to 32 bits, the maximum, the sum, and the gradient; a fused kernel reads
// half-precision logits twice and writes them once.
const lossBytes, fusedLossBytes = 24, 6

// hostAdam is the rate at which one GPU's share of its host makes optimizer
// steps, in bytes/s of state: an eighth of about 200 GB/s of memory bandwidth.
const hostAdam = 25e9

// layerCost is one layer for one micro-batch on one GPU, in seconds.
type layerCost struct {
	gemmF, gemmB, attnF, attnB, elemF, elemB float64
	commF, commB                             float64 // tensor-parallel messages that show
	epF, epB, cpF, cpB                       float64
	weights                                  float64 // numbers, before sharding
}

func (c layerCost) forward() float64 {
	return c.gemmF + c.attnF + c.elemF + c.commF + c.epF + c.cpF
}

func (c layerCost) backward() float64 {
	return c.gemmB + c.attnB + c.elemB + c.commB + c.epB + c.cpB
}

// recompute is the time to do again what was not kept.
func (c layerCost) recompute(mode Recompute, flash bool) float64 {
	switch mode {
	case RecomputeFull:
		return c.forward()
	case RecomputeSelective:
		if flash {
			return 0 // a fused kernel already recomputes inside its backward pass
		}
		return c.attnF
	case RecomputeOp:
		// Sums over tensor ranks are kept, gathers are not.
		return c.gemmF/2 + c.elemF + c.commF/2
	}
	return 0
}

const half = 2.0 // bytes of a half-precision number

func layer(d roofline.Device, s *Shape, l Layout, st Stack, moe bool) layerCost {
	var c layerCost
	t := float64(l.TP)
	tokens := float64(l.MicroBatch) * float64(l.SeqLen) / float64(l.CP)
	h := float64(s.Hidden)
	spread := tokens
	if l.SequenceParallel {
		spread /= t
	}
	width := half
	if l.Precision == "fp8" {
		width = 1.5 // one-byte inputs, two-byte output
	}
	var columnW, columnD float64 // weight and input gradients of column-parallel products
	product := func(m matrix, rows, count float64) {
		in, out := float64(m.in), float64(m.out)
		switch m.split {
		case 1:
			out /= t
		case 2:
			in /= t
		}
		c.weights += in * out * count
		c.gemmF += d.Gemm(l.Precision, rows, out, in, count, width)
		gradient := d.Gemm(l.Precision, in, out, rows, count, width)
		input := d.Gemm(l.Precision, rows, in, out, count, width)
		c.gemmB += input + gradient
		if m.split == 1 {
			columnW += gradient
			columnD += input
		}
	}
	for _, m := range s.attention() {
		product(m, tokens, 1)
	}
	wide := float64(s.FFN)
	if moe {
		e := s.MoE
		local := float64(e.Experts) / float64(l.EP)
		// Every rank of an expert group brings its tokens.
		rows := tokens * float64(e.Active) / local
		tp := t
		t = 1 // experts are whole on their rank
		for _, m := range s.mlp(e.FFN) {
			product(m, rows, local)
		}
		t = tp
		for range e.Shared {
			for _, m := range s.mlp(e.FFN) {
				product(m, tokens, 1)
			}
		}
		wide = float64(e.FFN) * float64(e.Active+e.Shared)
	} else {
		for _, m := range s.mlp(s.FFN) {
			product(m, tokens, 1)
		}
	}

	// The attention core.
	dtype := l.Precision
	if dtype == "fp8" {
		dtype = "bf16"
	}
	seq := float64(l.SeqLen)
	heads := float64(s.Heads) / t
	if st.Flash {
		flop := 4 * tokens * seq * s.coreWidth() / t / 2 // causal
		slow := 1.0
		if st.AttentionSlow > 0 {
			slow = st.AttentionSlow
		}
		if l.CP > 1 && st.RingSlow > 1 {
			slow *= st.RingSlow
		}
		c.attnF = d.Flash(dtype, flop, false) * slow
		c.attnB = d.Flash(dtype, 2.5*flop, true) * slow
	} else {
		batch := float64(l.MicroBatch) * heads
		dim := s.coreWidth() / float64(s.Heads)
		one := d.Gemm(dtype, seq, seq, dim, batch, half) + d.Gemm(dtype, seq, dim, seq, batch, half)
		matrix := batch * seq * seq
		drop, dropB := 0.0, 0.0
		if st.Dropout {
			drop, dropB = 2*half+1, 2*half+1
		}
		c.attnF = one + d.Stream(matrix*(2*half+drop), 2)
		c.attnB = 2*one + d.Stream(matrix*(3*half+dropB), 2)
	}

	// Element-wise passes.
	mask := 0.0
	if st.Dropout {
		mask = 1
	}
	forward := 2*spread*h*(2*half) + 2*spread*h*(3*half+mask)
	backward := 2*spread*h*(3*half) + 2*spread*h*(3*half)
	if st.Dropout {
		backward += 2 * spread * h * (2*half + 1)
	}
	qkv := float64(s.Heads+2*s.KVHeads) * float64(s.HeadDim) / t
	if s.Gated {
		forward += tokens * wide / t * 3 * half
		backward += tokens * wide / t * 5 * half
		forward += tokens * qkv * 2 * half // rotary positions
		backward += tokens * qkv * 2 * half
	} else {
		forward += tokens * wide / t * 2 * half
		backward += tokens * wide / t * 3 * half
	}
	forward += tokens * qkv * 2 * half // heads apart and together
	backward += tokens * qkv * 2 * half
	if l.Precision == "fp8" {
		// Casts of the inputs and gradients of the four products.
		cast := tokens * (2*h + qkv + wide/t) * 3
		forward += cast
		backward += 2 * cast
	}
	c.elemF = d.Stream(forward*st.Passes, 8)
	c.elemB = d.Stream(backward*st.Passes, 12)

	// Tensor-parallel messages.
	if l.TP > 1 {
		near := min(l.TP, max(1, d.Domain))
		move := d.Gather(tokens*h*half, l.TP, near)
		c.commF = 4 * move // two all-reduces, or two gathers and two scatters
		// The gradient of a column-parallel product's input is summed beside its
		// weight gradient. Sequence parallelism gathers the gradient of a
		// row-parallel product's output first, which nothing hides, and gathers the
		// input of a column-parallel one again, beside its input gradient.
		shown, besideW, besideD := 0.0, 4*move, 0.0
		if l.SequenceParallel {
			shown, besideW, besideD = 2*move, 2*move, 2*move
		}
		switch {
		case st.HideForward:
			c.commF = d.Overlap(c.commF, c.gemmF) - c.gemmF
			c.commB = d.Overlap(shown+besideW+besideD, c.gemmB) - c.gemmB
		case st.HideBackward:
			c.commB = shown + d.Overlap(besideW, columnW) - columnW + d.Overlap(besideD, columnD) - columnD
		default:
			c.commB = shown + besideW + besideD
		}
	}
	if moe && l.EP > 1 {
		one := 1.0
		if l.Precision != "fp8" {
			one = half
		}
		near := max(1, d.Domain)
		// A token goes once to each group of devices that it needs: at most four
		// nodes in DeepSeek-V3, all its experts elsewhere.
		copies := math.Min(float64(s.MoE.Active), 4)
		send := d.AllToAll(tokens*copies*h*one, l.EP, near)
		back := d.AllToAll(tokens*copies*h*half, l.EP, near)
		c.epF = d.Overlap(send+back, c.gemmF+c.attnF) - (c.gemmF + c.attnF)
		c.epB = d.Overlap(send+back, c.gemmB+c.attnB) - (c.gemmB + c.attnB)
	}
	if l.CP > 1 {
		kv := tokens * 2 * float64(s.KVHeads*s.HeadDim) / t * half * float64(l.CP-1)
		ring := kv / (d.Link * d.Eff.Link)
		if l.CP*l.TP > max(1, d.Domain) {
			ring = kv / (d.GPU.Network * d.Eff.Network)
		}
		c.cpF = d.Overlap(ring, c.attnF) - c.attnF
		c.cpB = d.Overlap(2*ring, c.attnB) - c.attnB
	}
	return c
}

// StepTime is the time of one optimizer step. It refuses a layout that does not
// divide the model; whether it fits memory is asked with [Fits].
func StepTime(d roofline.Device, s *Shape, l Layout, st Stack) (Times, error) {
	l = l.withDefaults()
	if err := l.Check(s); err != nil {
		return Times{}, err
	}
	if _, err := d.PeakOf(l.Precision); err != nil {
		return Times{}, err
	}
	if (l.OffloadOptimizer || l.OffloadActivations) && d.Host <= 0 {
		return Times{}, layoutf("nothing can be offloaded from %s: its bandwidth to the host is not known", d.Name)
	}
	// A stage has n layers of each kind; with experts there are two kinds.
	type kind struct {
		layerCost
		n float64
	}
	perStage := float64(s.Layers) / float64(l.PP)
	expert := float64(s.moeLayers()) / float64(s.Layers)
	var mix []kind
	if expert > 0 {
		mix = append(mix, kind{layer(d, s, l, st, true), perStage * expert})
	}
	if expert < 1 {
		mix = append(mix, kind{layer(d, s, l, st, false), perStage * (1 - expert)})
	}
	m := float64(l.MicroBatches())
	// A last, smaller micro-batch counts by its part.
	m = math.Max(m, float64(l.GlobalBatch)/float64(l.DP*l.MicroBatch))
	ranks := l.DP * l.CP
	near := max(1, d.Domain/l.TP)

	var out Times
	var stage float64 // one micro-batch through one stage, forward and backward
	var hide float64  // backward compute of one micro-batch, to hide reduction under
	for _, c := range mix {
		again := c.recompute(l.Recompute, st.Flash)
		forward, backward := c.forward(), c.backward()+again
		if l.Shard >= ShardGradients && ranks > 1 && l.PP == 1 {
			gather := d.Gather(c.weights*half, ranks, near)
			scatter := d.Gather(c.weights*st.GradientBytes, ranks, near)
			regather := 0.0
			if l.Shard == ShardParameters {
				regather = gather
			}
			f := d.Overlap(forward, gather)
			b := d.Overlap(backward, regather+scatter)
			out.ShardComm += c.n * m * (f - forward + b - backward)
			forward, backward = f, b
		}
		if l.OffloadActivations {
			copyOut := d.ToHost(LayerActivations(s, l, st))
			f, b := d.Overlap(forward, copyOut), d.Overlap(backward, copyOut)
			out.Offload += c.n * m * (f - forward + b - backward)
			forward, backward = f, b
		}
		stage += c.n * (forward + backward)
		hide += c.n * backward
		out.Gemm += c.n * m * (c.gemmF + c.gemmB)
		out.Attention += c.n * m * (c.attnF + c.attnB)
		out.Elementwise += c.n * m * (c.elemF + c.elemB)
		out.Recompute += c.n * m * again
		out.TensorComm += c.n * m * (c.commF + c.commB)
		out.ExpertComm += c.n * m * (c.epF + c.epB)
		out.ContextComm += c.n * m * (c.cpF + c.cpB)
	}

	// The output layer and the loss sit on the last stage.
	tokens := float64(l.MicroBatch) * float64(l.SeqLen) / float64(l.CP)
	h, v := float64(s.Hidden), float64(s.Vocab)/float64(l.TP)
	dtype := l.Precision
	if dtype == "fp8" {
		dtype = "bf16"
	}
	head, perLogit := 0.0, float64(lossBytes)
	if st.FusedLoss {
		perLogit = fusedLossBytes
	}
	if s.Vocab > 0 {
		head = d.Gemm(dtype, tokens, v, h, 1, half) + d.Gemm(dtype, tokens, h, v, 1, half) + d.Gemm(dtype, h, v, tokens, 1, half) +
			d.Stream(tokens*v*perLogit, 6)
	}
	out.Head = head * m
	p := float64(l.PP)
	pace := stage + head
	mean := stage + head/p
	if s.Layers%l.PP != 0 {
		// Stages that cannot be equal are cut so that the last one, which has the
		// output layer, gets fewer layers.
		pace = mean
	}
	out.Bubble = (p - 1) / float64(l.Interleave) * mean
	if l.PP > 1 {
		// Tensor ranks send a part each, and gather it on the other side.
		message := tokens * h * half
		hop := d.Send(message / float64(l.TP))
		if l.TP > 1 && !l.SequenceParallel {
			hop += d.Gather(message, l.TP, min(l.TP, max(1, d.Domain)))
		}
		out.PipelineComm = 2 * float64(l.Interleave) * hop * (m + (p-1)/float64(l.Interleave))
	}

	denseN, experts := local(s, l)
	expertRanks := max(1, ranks*l.TP/l.EP)
	if ranks > 1 && (l.Shard < ShardGradients || l.PP > 1) {
		reduce := d.AllReduce(denseN*st.GradientBytes, ranks, near)
		if experts > 0 {
			reduce += d.AllReduce(experts*st.GradientBytes, expertRanks, 1)
		}
		if l.Shard >= ShardOptimizer { // gradients are scattered, weights gathered
			reduce = reduce/2 + d.Gather(denseN*half, ranks, near)
			if experts > 0 {
				reduce += d.Gather(experts*half, expertRanks, 1)
			}
		}
		if st.HideData {
			out.DataComm = d.Overlap(reduce, hide) - hide
		} else {
			out.DataComm = reduce
		}
	}
	mine := denseN + experts
	offloaded := 0.0 // copies at the end of the step; those of layers are in its pace
	if l.Shard >= ShardOptimizer {
		mine = denseN/float64(ranks) + experts/float64(expertRanks)
	}
	out.Optimizer = d.Stream(mine*optimizerBytes, 20)
	if l.OffloadOptimizer {
		// Gradients go down, weights come back, and the host does Adam's 28 bytes.
		move := d.ToHost(mine*st.GradientBytes) + d.ToHost(mine*half)
		out.Offload += move
		offloaded = move
		out.Optimizer = mine * 28 / hostAdam
	}
	slow := math.Max(st.Slow, 1e-3)
	if l.Recompute == RecomputeNone && st.Kept > 0 {
		slow *= st.Kept
	}
	out.Step = (m*pace + out.Bubble + out.PipelineComm + out.DataComm + out.Optimizer + offloaded) * slow
	return out, nil
}
