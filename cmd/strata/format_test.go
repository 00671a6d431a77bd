package main

import (
	"testing"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/money"
)

func TestDollars(t *testing.T) {
	for in, want := range map[string]string{
		"0": "$0.00", "1": "$1.00", "0.1": "$0.10", "0.000000000001": "$0.000000000001",
		"-0.05": "-$0.05", "1234567.891": "$1,234,567.891", "-1000": "-$1,000.00", "999": "$999.00",
	} {
		p, err := money.ParsePico(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := dollars(p); got != want {
			t.Errorf("dollars(%s) = %s, want %s", in, got, want)
		}
	}
	if got := maybeDollars(nil); got != "?" {
		t.Errorf("an unknown amount is drawn as %q", got)
	}
}

func TestTokens(t *testing.T) {
	if got := tokens(nil, false); got != "?" {
		t.Errorf("unknown usage is drawn as %q", got)
	}
	var u model.Usage
	u.Count[model.Input], u.Count[model.CacheRead], u.Count[model.Output], u.Count[model.Reasoning] = 1000, 234, 50, 6
	if got := tokens(&u, true); got != "~1,234 → 56" {
		t.Errorf("tokens = %q", got)
	}
	if got := usageList(&u, []string{"output"}); got != "input 1000, cache_read 234, output ~50, reasoning 6" {
		t.Errorf("usage = %q", got)
	}
	if got := usageList(&model.Usage{}, nil); got != "nothing consumed" {
		t.Errorf("empty usage = %q", got)
	}
}

func TestNumbers(t *testing.T) {
	ms := func(f float64) *float64 { return &f }
	for _, c := range []struct{ got, want string }{
		{count(0), "0"}, {count(-1234567), "-1,234,567"}, {count(100), "100"},
		{millis(nil), "?"}, {millis(ms(0.25)), "0.2 ms"}, {millis(ms(123.4)), "123 ms"}, {millis(ms(12_345)), "12.3 s"},
		{size(999), "999 B"}, {size(1000), "1.0 kB"}, {size(999_960), "1.0 MB"}, {size(98_362_432), "98.4 MB"},
		{plain("a\x1b[31mb\u009b"), "a�[31mb�"}, {contentText("a\n\tb\x07"), "a\n\tb�"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}
