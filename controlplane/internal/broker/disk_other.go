//go:build !linux

package broker

import "math"

// free does not know, which is plenty: a full disk is noticed by the write.
func free(string) int64 { return math.MaxInt64 }
