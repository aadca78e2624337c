package fakeprovider

import (
	"net"
	"syscall"
	"unsafe"
)

// unsent is the number of bytes that the peer's kernel has not acknowledged yet:
// what a reset would destroy (tcp(7), SIOCOUTQ, which has the value of TIOCOUTQ).
func unsent(conn net.Conn) int {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	var n int32
	err = raw.Control(func(fd uintptr) {
		_, _, _ = syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCOUTQ, uintptr(unsafe.Pointer(&n)))
	})
	if err != nil {
		return 0
	}
	return int(n)
}
