//go:build unix

package broker

import (
	"fmt"
	"os"
	"syscall"
)

// lock keeps a second server off the store; two would ruin it. The lock ends with
// the process, however that ends.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, fmt.Errorf("broker: cannot lock the data directory: %w; check --data-dir and its permissions", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("broker: another controller uses this data directory (%s: %w); give each its own --data-dir", path, err)
	}
	return func() { _ = f.Close() }, nil
}
