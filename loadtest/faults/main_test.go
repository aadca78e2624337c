// Package faults puts a real node in front of upstreams that break in every way
// that a network and a careless server know, and looks at what the client, the
// logs, the metrics and the upstream itself get to see of it.
package faults

import (
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// The node trusts the roots of the system, which are read once per process: here
// they are the authority of these tests.
func TestMain(m *testing.M) {
	os.Exit(withAuthority(func() int {
		// What may outlive a stopped node: the cleaner of fasthttp's workers,
		// which looks every ten seconds whether it may end, and the one that
		// formats the date for the whole process.
		exit := &exitCode{m: m}
		flag.Parse()
		_ = flag.Set("test.parallel", "16") // the rows wait most of their time
		goleak.VerifyTestMain(exit,
			goleak.Cleanup(func(code int) { exit.code = code }),
			goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
			goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
		return exit.code
	}))
}

// exitCode lets something run after goleak's verdict.
type exitCode struct {
	m    *testing.M
	code int
}

func (e *exitCode) Run() int { return e.m.Run() }
