package node

import "golang.org/x/sys/unix"

// bootClock is the clock that goes on while the machine sleeps, in nanoseconds.
func bootClock() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) // there since Linux 2.6.39
	return t.Nano()
}
