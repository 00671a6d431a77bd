package nearest

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"flaw", "lawn", 2}, {"addr", "adr", 1}, {"kitten", "sitting", 3}, {"model", "model", 0},
		{strings.Repeat("x", 201), "x", 201},
	} {
		if got := Distance(c.a, c.b); got != c.want {
			t.Errorf("Distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestDistanceIsAMetric(t *testing.T) {
	name := rapid.StringOfN(rapid.RuneFrom([]rune("abc")), 0, 8, -1)
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := name.Draw(t, "a"), name.Draw(t, "b"), name.Draw(t, "c")
		if Distance(a, b) != Distance(b, a) {
			t.Fatal("not symmetric")
		}
		if (Distance(a, b) == 0) != (a == b) {
			t.Fatal("zero for names that differ, or not for equal ones")
		}
		if Distance(a, c) > Distance(a, b)+Distance(b, c) {
			t.Fatal("a detour is shorter")
		}
	})
}
