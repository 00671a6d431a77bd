package config

import (
	"fmt"

	"github.com/stratahq/strata/nearest"
)

// suggest is "; did you mean "x"?" for the known name nearest to a wrong one,
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
