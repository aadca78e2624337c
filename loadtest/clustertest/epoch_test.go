package clustertest

import (
	"context"
	"strings"
	"testing"
)

// The store is lost when the nodes have obeyed later leaders than a new one counts:
// it leads again above them, and they are leased and served as before.
func TestStoreLostSomeEpochsLater(t *testing.T) {
	t.Parallel()
	b := start(t, 2, highLimits, relays)
	stop := func() {
		if err := b.StopController(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	again := func() {
		if err := b.StartController(); err != nil {
			t.Fatal(err)
		}
		b.converged(2)
	}
	for range 2 {
		stop()
		again()
	}
	const epoch = "api_proxy_control_epoch"
	if got := b.metric(b.ControlURL(), epoch); got != 3 {
		t.Fatalf("epoch %v after three starts", got)
	}
	stop()
	b.forget(t)
	again() // the nodes notice only after a while that they are not answered
	b.eventually("an epoch after those that the nodes know", func() bool { return b.metric(b.ControlURL(), epoch) > 3 })
	b.converged(2)
	for i := range b.Nodes {
		b.eventually("a request is served", func() bool { return b.get(b.URL(i)+"/zerion/test").status == 200 })
	}
	if n := strings.Count(b.log("controller", "control.log"), "leading again above it"); n != 1 {
		t.Errorf("it was said %d times", n)
	}
}
