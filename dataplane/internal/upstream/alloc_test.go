//go:build !race

package upstream

import (
	"io"
	"net"
	"testing"
	"time"
)

// echo answers each byte.
func echo(t testing.TB) (addr string) {
	return listen(t, func(c net.Conn) { go func() { _, _ = io.Copy(c, struct{ io.Reader }{c}) }() })
}

func TestAllocations(t *testing.T) {
	p := NewPool(plain, dialTo(echo(t)))
	defer p.Close()
	request := []byte{'?'}
	got := testing.AllocsPerRun(1000, func() {
		c, err := p.Get(patient, time.Time{}, false)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write(request)
		_, _ = c.R.ReadByte()
		c.Release(true)
	})
	if got != 0 {
		t.Errorf("an exchange on an idle connection allocates %v times, want 0", got)
	}
}

func BenchmarkGetRelease(b *testing.B) {
	p := NewPool(plain, dialTo(echo(b)))
	defer p.Close()
	for b.Loop() {
		c, err := p.Get(patient, time.Time{}, false)
		if err != nil {
			b.Fatal(err)
		}
		c.Release(true)
	}
}

func BenchmarkAlive(b *testing.B) {
	p := NewPool(plain, dialTo(echo(b)))
	c, err := p.Get(patient, time.Time{}, false)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Release(false)
	for b.Loop() {
		if !c.alive() {
			b.Fatal("not alive")
		}
	}
}

func BenchmarkArm(b *testing.B) {
	p := NewPool(plain, dialTo(echo(b)))
	c, err := p.Get(patient, time.Time{}, false)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Release(false)
	for b.Loop() {
		_ = c.arm(&c.readArmed, c.timeouts.Read, c.raw.SetReadDeadline)
	}
}

func BenchmarkSetReadDeadline(b *testing.B) { // what arm saves
	p := NewPool(plain, dialTo(echo(b)))
	c, err := p.Get(patient, time.Time{}, false)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Release(false)
	for b.Loop() {
		_ = c.raw.SetReadDeadline(time.Now().Add(time.Minute))
	}
}
