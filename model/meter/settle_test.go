package meter

import (
	"slices"
	"strings"
	"testing"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/usage"
)

// Without any limit, a number that no call can have is not believed, on either
// side of the bill, and what is large but possible is.
func TestAbsurdUsageWithoutAnyLimit(t *testing.T) {
	with := func(change func(*model.Usage)) *model.Usage {
		u := usageOf(3, 2)
		change(u)
		return u
	}
	for name, c := range map[string]struct {
		usage             *model.Usage
		prompt, completed int64
		estimated         string
	}{
		"output":           {usageOf(3, 1e15), 3, 2, "output"},
		"prompt":           {usageOf(1e15, 2), 8, 2, "input"},
		"cached prompt":    {with(func(u *model.Usage) { u.Count[model.CacheRead] = 1e15 }), 8, 2, "input"},
		"thinking":         {with(func(u *model.Usage) { u.Count[model.Reasoning] = 1e15 }), 3, 2, "reasoning"},
		"large but true":   {usageOf(9_000_000, 900_000), 9_000_000, 900_000, ""},
		"largest at which": {usageOf(3, believableOutput), 3, believableOutput, ""},
		"one above":        {usageOf(3, believableOutput+1), 3, 2, "output"},
	} {
		t.Run(name, func(t *testing.T) {
			b := metered(t, notation, speaks(c.usage, "a", "b"), nil)
			drive(t.Context(), b.model, request(0), 0)
			row := b.only(t)
			if row.Usage.Prompt() != c.prompt || row.Usage.Completion() != c.completed || strings.Join(row.Usage.Estimated.Names(), ",") != c.estimated || !row.CostKnown {
				t.Errorf("usage %+v, cost %s (known %t)", row.Usage, row.Cost, row.CostKnown)
			}
			if (c.estimated != "") != slices.Contains(row.Usage.Flags, usage.FlagAboveMax) {
				t.Errorf("flags %v", row.Usage.Flags)
			}
		})
	}
}

// An upstream that does not keep to max_tokens is believed when the text that
// arrived shows it, so that the excess is charged and seen; a number alone is not.
func TestUsageBeyondTheLimitIsBelievedWhenItArrived(t *testing.T) {
	words := strings.Fields("one two three four five six seven eight nine ten eleven twelve")
	for name, c := range map[string]struct {
		text      []string
		stated    int64
		completed int64
		believed  bool
	}{
		"it arrived":         {words, 12, 12, true},
		"a number alone":     {words[:2], 1000, 2, false},
		"more than arrived":  {words, 1000, 12, false},
		"the limit was kept": {words[:3], 3, 3, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := metered(t, notation, speaks(usageOf(3, c.stated), c.text...), nil)
			drive(t.Context(), b.model, request(3), 0)
			row := b.only(t)
			if row.Usage.Completion() != c.completed || (row.Usage.Estimated == 0) != c.believed {
				t.Errorf("usage %+v, estimated %v; want %d", row.Usage, row.Usage.Estimated.Names(), c.completed)
			}
			if over := row.Cost > row.Held; row.Overrun != over {
				t.Errorf("overrun %t, cost %s, held %s", row.Overrun, row.Cost, row.Held)
			}
			if name == "it arrived" && !row.Overrun {
				t.Error("it was billed beyond the bound, but is no overrun")
			}
		})
	}
}
