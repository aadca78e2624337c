//go:build !linux

package node

import "time"

var processStart = time.Now()

// bootClock stands still while the machine sleeps: a node that wakes up may use
// what it held, once.
func bootClock() int64 { return int64(time.Since(processStart)) }
