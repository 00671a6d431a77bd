package local

import (
	"testing"

	"github.com/stratahq/strata/model"
)

func TestSmoke(t *testing.T) {
	for _, p := range []string{"<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"} {
		r := collect(t, smol(t), complete(p, 24))
		t.Logf("%q %+v %v", r.Text(), r.Choices[0].FinishReason, r.Usage.Count)
	}
	for _, q := range []string{"What is the capital of France?", "Who are you?", "Why is the sky blue?", "Write a haiku about rivers."} {
		r := collect(t, smol(t), chat(q, 40))
		t.Logf("%q %+v %v", r.Text(), r.Choices[0].FinishReason, r.Usage.Count)
		r = collect(t, smol(t), chat(q, 40, func(c *model.Chat) { c.Temperature = nil; c.Seed = ptr(int64(1)) }))
		t.Logf("default: %q", r.Text())
		r = collect(t, smol(t), chat(q, 40, func(c *model.Chat) {
			c.Messages = append([]model.Message{model.TextMessage("system", "You are a helpful assistant.")}, c.Messages...)
		}))
		t.Logf("sys: %q", r.Text())
	}
}
