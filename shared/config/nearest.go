package config

import "strings"

// nearest is the candidate that a key was probably meant to be, or "": one that
// differs in case, in dashes for underscores and in at most two more edits, or
// one that the key is the beginning of (value, value_env).
func nearest(key string, candidates []string) string {
	const most = 2
	key = strings.ReplaceAll(strings.ToLower(key), "-", "_")
	best, distance := "", most+1
	for _, candidate := range candidates {
		if strings.HasPrefix(candidate, key+"_") {
			return candidate
		}
		if d := editDistance(key, candidate, most); d < distance && d < len(candidate) {
			best, distance = candidate, d
		}
	}
	return best
}

// editDistance is the Levenshtein distance in bytes, or more than most if the
// lengths alone say so.
func editDistance(a, b string, most int) int {
	if len(a)-len(b) > most || len(b)-len(a) > most {
		return most + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
