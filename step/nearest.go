package step

import "strings"

// Nearest is the name that takes the fewest changes of a letter to get to
// from what was typed; the first of equals; empty where there are no names. It
// is for hints.
func Nearest(typed string, names []string) string {
	best, distance := "", -1
	for _, name := range names {
		if d := editDistance(strings.ToLower(typed), strings.ToLower(name)); distance < 0 || d < distance {
			best, distance = name, d
		}
	}
	return best
}

// editDistance counts insertions, deletions and exchanges (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			exchanged := diagonal
			if a[i] != b[j] {
				exchanged++
			}
			diagonal = row[j+1]
			row[j+1] = min(exchanged, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
