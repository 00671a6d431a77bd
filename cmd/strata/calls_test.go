package main

import (
	"strings"
	"testing"

	"github.com/stratahq/strata/admin"
	"github.com/stratahq/strata/money"
)

// A call that consumed nothing costs a known nothing; what nobody knows is "?".
func TestCallTokensTellNothingFromUnknown(t *testing.T) {
	nothing := money.Pico(0)
	if got := callTokens(&admin.Call{Outcome: "refused", CostUSD: &nothing}); got != "-" {
		t.Errorf("a refused call: %q", got)
	}
	if got := callTokens(&admin.Call{Outcome: "error"}); got != unknown {
		t.Errorf("a call of unknown usage: %q", got)
	}
}

// A cost that is not known is not a zero in the report of a repricing either.
func TestRepriceShowsNoZeroForUnknown(t *testing.T) {
	before, after := money.Sum{}, money.Sum{}.Add(88)
	var b strings.Builder
	printReprice(&b, &admin.Reprice{Calls: 3, Changed: 2, NowKnown: 2, Kept: 1, UnknownBefore: 3, UnknownAfter: 1, CostBefore: before, CostAfter: after,
		ByModel: []admin.RepriceLine{
			{Model: "priced-now", Calls: 2, Changed: 2, UnknownBefore: 2, CostAfter: after},
			{Model: "no-price", Calls: 1, UnknownBefore: 1, UnknownAfter: 1},
		}})
	rows := strings.Split(b.String(), "\n")
	for i, want := range map[int][]string{1: {"priced-now", "2", "2", "?", "$0.000000000088", "?"}, 2: {"no-price", "1", "0", "?", "?", "?"}} {
		if got := strings.Fields(rows[i]); strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("row %d: %q, want %q", i, got, want)
		}
	}
	for _, want := range []string{"1 call stays as it is", "1 call remains of unknown cost", "2 calls get a cost"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in:\n%s", want, &b)
		}
	}
	if strings.Contains(b.String(), "$0.00 ") {
		t.Errorf("a zero for an unknown:\n%s", &b)
	}
}

func TestReceiptOfAnUnknownCall(t *testing.T) {
	code, _, stderr := runStrata(t, "calls", "01999999-0000-7000-8000-000000000000", "--data", t.TempDir())
	if code != exitNoData || !strings.Contains(stderr, "no call has the id") || !strings.Contains(stderr, "strata calls") {
		t.Errorf("exit %d, %q", code, stderr)
	}
}
