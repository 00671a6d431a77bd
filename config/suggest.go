package config

import "fmt"

// suggest is "; did you mean "x"?" for the known name nearest to a wrong one,
// or "" when none is near.
func suggest(wrong string, known []string) string {
	best, at := "", len(wrong)/2+1
	for _, k := range known {
		if n := distance(wrong, k, at); n < at || (n == at && best != "" && k < best) {
			best, at = k, n
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance is the Levenshtein distance of a and b in bytes, or limit+1 when it
// is greater than limit.
func distance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
