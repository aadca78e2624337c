//go:build linux || darwin || freebsd

package offheap

import "syscall"

// Alloc returns n zero bytes; a page of them is resident once it is touched. The
// memory must be given to Free, and not be used after that.
func Alloc(n int) []byte {
	if n <= 0 {
		return nil
	}
	b, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return make([]byte, n) // Munmap refuses to free it, which is as it should be
	}
	return b
}

// Free gives memory of Alloc back to the system.
func Free(b []byte) {
	if len(b) > 0 {
		_ = syscall.Munmap(b) // fails for memory of the heap only
	}
}
