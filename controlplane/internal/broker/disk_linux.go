package broker

import (
	"math"
	"syscall"
)

// free is how many bytes may be written to the disk of a folder. Unknown is plenty.
func free(dir string) int64 {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil || s.Bavail > math.MaxInt64/uint64(max(s.Bsize, 1)) {
		return math.MaxInt64
	}
	return int64(s.Bavail) * s.Bsize
}
