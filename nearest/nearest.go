// Package nearest measures how far a mistyped name is from a known one, so that
// an error can say what was probably meant.
package nearest

// longest bounds what is compared letter by letter: nobody mistypes a longer
// name, and hostile input must not cost its length squared.
const longest = 200

// Distance is the Levenshtein distance of two names in bytes: how many letters
// must be changed, added or left out. Names beyond 200 bytes are as far apart as
// the longer one is long.
func Distance(a, b string) int {
	if len(a) > longest || len(b) > longest {
		return max(len(a), len(b))
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
