// Package engine is the child's side of the local engine: it loads a GGUF model
// through llama.cpp and answers the requests that arrive on its standard input.
//
// One goroutine owns the native context. In each round it decodes one token for
// every running choice in one batch (continuous batching) and at most one chunk
// of one waiting prompt, so that a long prompt delays others by no more than a
// chunk. A slot keeps the prompt that it holds, and a later request with the
// same beginning reuses it.
//
// Results are reproducible: prompts are computed in chunks at fixed positions
// and reused only in whole chunks, so a prompt has the same numbers whether it
// was reused or not; sampling depends on nothing but logits, parameters and
// seed. What may differ in the last bits is a token decoded beside others in a
// batch, where a native kernel for another batch size may round differently.
package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// ErrNotBuilt says that this binary has no native engine.
var ErrNotBuilt = errors.New("this build of strata has no local engine: it is built for Linux, macOS and Windows on amd64 and arm64, without the tag noengine")

// hookBuilders are the registered logits hooks.
var hookBuilders = map[string]func(params json.RawMessage) (Hook, error){}

// RegisterHook makes a logits hook available to requests by name. It is called
// from an init function of a package that both parent and child import, since
// the hook runs in the child.
func RegisterHook(name string, build func(params json.RawMessage) (Hook, error)) {
	if _, dup := hookBuilders[name]; dup {
		panic("engine: hook " + name + " registered twice")
	}
	hookBuilders[name] = build
}

// newHook builds a registered hook.
func newHook(name string, params json.RawMessage) (Hook, error) {
	build, ok := hookBuilders[name]
	if !ok {
		return nil, fmt.Errorf("there is no logits hook %q; there are %q", name, slices.Sorted(maps.Keys(hookBuilders)))
	}
	return build(params)
}
