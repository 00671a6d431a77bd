package training

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stratahq/strata/infra/roofline"
)

// stacks are the kinds of software that the measured runs used. What each
// overlaps and fuses is taken from its paper or documentation; only Slow is
// fitted, and stacks with the same slow name share it.
var stacks = []struct {
	Stack
	slow string
}{
	// Megatron-LM of SC'21: fused softmax, bias-GELU and bias-dropout-add; no
	// overlap of messages, gradients in half precision.
	{Stack{Name: "megatron-2021", Dropout: true, Passes: 1, GradientBytes: 2, State: HalfGradients}, "megatron-2021"},
	// Megatron-LM of Korthikanti et al.: as above; all-reduces of the backward
	// pass run beside weight gradients (their section 4.2.2).
	{Stack{Name: "megatron-2022", Dropout: true, Passes: 1, HideBackward: true, GradientBytes: 4, State: MixedAdam}, "megatron-2022"},
	// llm-foundry: PyTorch FSDP, flash attention, no dropout, norms in half
	// precision, fused loss; gradients are reduced in half precision, as Composer's
	// mixed precision DEFAULT does.
	{Stack{Name: "llm-foundry", Flash: true, FusedLoss: true, Passes: 1.3, HideData: true, GradientBytes: 2, State: HalfGradients}, "llm-foundry"},
	// torchtitan on GPUs limited to 500 W: eager, compiled, and with asynchronous
	// tensor parallelism.
	{Stack{Name: "torchtitan-eager", Flash: true, Passes: 2.5, HideData: true, GradientBytes: 4, State: MixedAdam}, "torchtitan"},
	{Stack{Name: "torchtitan-compile", Flash: true, Passes: 1, HideData: true, GradientBytes: 4, State: MixedAdam}, "torchtitan"},
	{Stack{Name: "torchtitan-async", Flash: true, Passes: 1, HideForward: true, HideData: true, GradientBytes: 4, State: MixedAdam}, "torchtitan"},
	// Compiled FSDP on GPUs at full power; it takes llm-foundry's loss.
	{Stack{Name: "fsdp-compile", Flash: true, Passes: 1, HideData: true, GradientBytes: 4, State: MixedAdam}, "llm-foundry"},
	// A whole run whose software is not known: good software of its time, and a
	// loss that covers failures, restarts and evaluations as well.
	// "blind-unfused" is the same before fused attention (Dao et al. arXiv
	// 2205.14135, 2022-05), for runs that began earlier.
	{Stack{Name: "blind-unfused", Passes: 1, HideBackward: true, HideData: true, GradientBytes: 4, State: MixedAdam}, "blind"},
	{Stack{Name: "blind", Flash: true, Passes: 1, HideBackward: true, HideData: true, GradientBytes: 4, State: MixedAdam}, "blind"},
}

// StackNames lists the kinds of training software that the model knows.
func StackNames() []string {
	var names []string
	for _, s := range stacks {
		names = append(names, s.Name)
	}
	return names
}

// stackIndex finds a stack.
func stackIndex(name string) (int, error) {
	i := slices.IndexFunc(stacks, func(s struct {
		Stack
		slow string
	}) bool {
		return s.Name == name
	})
	if i < 0 {
		return 0, fmt.Errorf("no training stack %q; there are %s", name, strings.Join(StackNames(), ", "))
	}
	return i, nil
}

// guessStack picks the software for a run that does not name it: on Hopper,
// torchtitan for GPUs that are limited to 500 W, and asynchronous tensor
// parallelism or compiled FSDP for others; elsewhere Megatron (with the overlaps
// of 2022) where there is tensor or pipeline parallelism. Old models without
// gated MLPs that only share parameters ran on llm-foundry.
func guessStack(s *Shape, l Layout, gpu *roofline.GPU) string {
	split := l.TP > 1 || l.PP > 1
	switch {
	case gpu.Name == "h100-96" && split:
		return "torchtitan-async"
	case gpu.Name == "h100-96":
		return "torchtitan-compile"
	case gpu.Generation != "hopper" && split:
		return "megatron-2022"
	case s.Gated:
		return "fsdp-compile"
	case split:
		return "megatron-2022"
	}
	return "llm-foundry"
}
