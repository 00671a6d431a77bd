package catalog

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/stratahq/strata/nearest"
)

// suggest is `; did you mean "x"?` for the known name nearest to a wrong one,
// or "" when none is near.
func suggest(wrong string, known []string) string {
	best, at := "", len(wrong)/2+1
	for _, k := range known {
		if n := nearest.Distance(wrong, k); n < at || (n == at && best != "" && k < best) {
			best, at = k, n
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// nearestNames are up to three catalog names near a wrong one. A name that the
// wrong one begins or is part of (h100 of h100-sxm-80) counts as nearer than
// one with a few other letters.
func nearestNames(wrong string, alias map[string]string) []string {
	w := fold(wrong)
	if len(w) > 100 {
		w = w[:100] // nobody's name; keeps the distance cheap
	}
	score := map[string]int{}
	for a, name := range alias {
		s := 10 * nearest.Distance(w, a)
		limit := 10 * (len(w)/2 + 1)
		if w != "" && (strings.HasPrefix(a, w) || strings.HasPrefix(w, a)) {
			s = s / 4
		} else if len(w) > 2 && strings.Contains(a, w) {
			s = s / 2
		}
		if s >= limit {
			continue
		}
		if old, ok := score[name]; !ok || s < old {
			score[name] = s
		}
	}
	names := make([]string, 0, len(score))
	for n := range score {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(score[a], score[b]), cmp.Compare(a, b)) })
	return names[:min(3, len(names))]
}
