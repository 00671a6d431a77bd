package training

import (
	"fmt"
	"slices"
	"strings"
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
	// precision; gradients are reduced in 32 bits.
	{Stack{Name: "llm-foundry", Flash: true, Passes: 1.3, HideData: true, GradientBytes: 4, State: HalfGradients}, "llm-foundry"},
	// torchtitan, eager, compiled and with asynchronous tensor parallelism.
	{Stack{Name: "torchtitan-eager", Flash: true, Passes: 2.5, HideData: true, GradientBytes: 4, State: MixedAdam}, "torchtitan"},
	{Stack{Name: "torchtitan-compile", Flash: true, Passes: 1, HideData: true, GradientBytes: 4, State: MixedAdam}, "torchtitan"},
	{Stack{Name: "torchtitan-async", Flash: true, Passes: 1, HideForward: true, HideData: true, GradientBytes: 4, State: MixedAdam}, "torchtitan"},
	{Stack{Name: "torchtitan-whitefiber", Flash: true, Passes: 1, HideData: true, GradientBytes: 4, State: MixedAdam}, "llm-foundry"},
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

// guessStack picks the software for a run that does not name it: Megatron where
// there is tensor or pipeline parallelism on Ampere or Volta (with the overlaps
// of 2022), asynchronous torchtitan on later GPUs, FSDP otherwise.
func guessStack(l Layout, generation string) string {
	if l.TP > 1 || l.PP > 1 {
		if generation == "hopper" {
			return "torchtitan-async"
		}
		return "megatron-2022"
	}
	return "llm-foundry"
}
