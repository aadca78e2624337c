//go:build !linux

package accuracy

import "os/exec"

// dieWithUs does nothing here: what a killed run has started must be ended by hand.
func dieWithUs(*exec.Cmd) {}
