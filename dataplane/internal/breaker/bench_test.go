package breaker

import (
	"testing"
	"time"
)

// A new breaker and a recovered one let traffic through without the lock: this
// test holds it, and would hang.
func TestClosedPathIsLockFree(t *testing.T) {
	recovered := New(Config{FailureThreshold: 2})
	for _, o := range []Outcome{Failure, Failure, Success, Failure, Success} { // opens, closes, wavers
		p, _, _, _ := recovered.Acquire(1)
		recovered.Done(1, p, o)
	}
	for _, b := range []*Breaker{New(standard), recovered} {
		b.mu.Lock()
		if b.quiet.Load() != b.generation {
			t.Fatalf("quiet is %d in generation %d (%v, %d failures)", b.quiet.Load(), b.generation, b.state, b.failures)
		}
		p, ok, _, _ := b.Acquire(1)
		b.Done(1, p, Success)
		if state := b.State(1); !ok || state != closed {
			t.Errorf("granted %v in state %v, want true in closed", ok, state)
		}
		b.mu.Unlock()
	}
}

func TestNoAllocations(t *testing.T) {
	b := New(standard)
	if n := testing.AllocsPerRun(1000, func() {
		p, _, _, _ := b.Acquire(1)
		b.Done(1, p, Success)
		b.State(1)
	}); n != 0 {
		t.Errorf("a successful attempt allocates %v times, want 0", n)
	}
	if n := testing.AllocsPerRun(1000, func() {
		p, _, _, _ := b.Acquire(1)
		b.Done(1, p, Failure)
		p, _, _, _ = b.Acquire(1)
		b.Done(1, p, Success)
	}); n != 0 {
		t.Errorf("a failed attempt allocates %v times, want 0", n)
	}
}

// Run with -cpu 1,2: nothing is written while all is well, so it scales.
func BenchmarkClosed(b *testing.B) {
	breaker := New(standard)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			p, _, _, _ := breaker.Acquire(1)
			breaker.Done(1, p, Success)
		}
	})
}

func BenchmarkClosedOneInTenFails(b *testing.B) {
	breaker := New(standard)
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			o := Success
			if i%10 == 0 {
				o = Failure
			}
			p, _, _, _ := breaker.Acquire(1)
			breaker.Done(1, p, o)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	breaker := New(Config{FailureThreshold: 1, Timeout: time.Hour})
	p, _, _, _ := breaker.Acquire(1)
	breaker.Done(1, p, Failure)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			breaker.Acquire(1)
		}
	})
}
