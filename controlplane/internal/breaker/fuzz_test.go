package breaker

import (
	"encoding/binary"
	"strconv"
	"testing"
	"time"

	"apiproxy.internal/shared/wire"
)

// script turns bytes into inputs; at its end all of them are 0.
type script struct{ data []byte }

func (s *script) next(n int) int {
	if len(s.data) == 0 {
		return 0
	}
	b := s.data[0]
	s.data = s.data[1:]
	return int(b) % n
}

func (s *script) wild() uint64 {
	if len(s.data) < 8 {
		return uint64(s.next(256))
	}
	v := binary.LittleEndian.Uint64(s.data)
	s.data = s.data[8:]
	return v
}

// Whatever nodes may tell and operators may order: no panic, generations only
// grow, and dealing never exceeds the slots.
func FuzzMachine(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x00\x01\x02\x03 a few reports, then orders \x07\x08\x09 and time \x06\xff\xff"))
	for i := range 8 {
		data := make([]byte, 400)
		for j := range data {
			data[j] = byte((i + 3) * (j + 1) * (j + 7) >> (i % 3))
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &script{data}
		r := Restored{Epoch: epoch, Nodes: []string{"1", "2"}[:s.next(3)]}
		if s.next(2) > 0 {
			states := []string{closed, open, halfOpen, "ajar"}
			r.Entry = &wire.BreakerEntry{Generation: wire.Generation{Epoch: 3, Gen: uint64(s.next(9))}, State: states[s.next(4)], Since: start}
		}
		if s.next(3) == 0 {
			r.Hold = &wire.Hold{State: open, Until: at(float64(s.next(20) - 5))}
		}
		config := Config{FailureThreshold: s.next(7), SuccessThreshold: s.next(3), HalfOpenRequests: 1 + s.next(4),
			Timeout: time.Duration(s.next(5)) * time.Second, Attempt: time.Duration(s.next(5)) * time.Second}
		now := start
		m, eff := New(now, config, r)
		last := wire.Generation{}
		for nonce := int64(1); len(s.data) > 0; nonce++ {
			before := m.Outstanding(now)
			switch s.next(10) {
			case 0, 1, 2, 3:
				e := wire.Evidence{Generation: m.gen, Failures: s.next(9), Attempted: s.next(4) > 0, Wants: s.next(5),
					OK: s.next(2), Bad: s.next(5) / 4, Closed: s.next(30) == 1, Own: s.next(9) / 8}
				id := strconv.Itoa(s.next(5))
				if n := m.nodes[id]; n != nil && s.next(3) > 0 { // an honest one
					e.Granted = n.granted
					e.Done = min(e.Granted, n.evidence.Done+uint64(s.next(3)))
				}
				n := Node{ID: id, Incarnation: strconv.Itoa(s.next(2)), Nonce: nonce, Epoch: epoch - uint64(s.next(4)/3), Draining: s.next(9) == 1}
				if s.next(12) == 1 { // nonsense
					e.Granted, e.Done = s.wild(), s.wild()
					e.Failures, e.Own, e.Wants, e.OK = int(s.wild()), int(s.wild()), int(s.wild()), int(s.wild())
					e.RetryMS, e.Gen, e.Epoch, e.State = int64(s.wild()), s.wild(), uint64(s.next(6)), "ajar"
				}
				before = 1 << 62 // a report may tell of any number
				eff = m.Report(now, n, e)
			case 4:
				eff = m.Dead(now, strconv.Itoa(s.next(5)))
			case 5, 6:
				now = now.Add(time.Duration(s.next(256)) * 20 * time.Millisecond)
				eff = m.Tick(now)
				before = max(before, m.Outstanding(now))
			case 7:
				eff = m.Trip(now, "", "ann", time.Duration(s.next(4))*time.Second)
			case 8:
				eff = m.Reset(now, "", "ann")
			case 9:
				if s.next(2) == 0 {
					m.Configure(config)
				}
				eff = m.Auto(now, "", "ann")
			}
			if out, limit := m.Outstanding(now), uint64(m.config.HalfOpenRequests); len(eff.Answer) > 0 && out > limit {
				t.Fatalf("%d outstanding after dealing, %d allowed", out, limit)
			} else if len(eff.Answer) == 0 && out > max(before, limit) {
				t.Fatalf("%d outstanding after %d, with nothing dealt", out, before)
			}
			if e := eff.Write; e != nil {
				if e.Compare(last) <= 0 || e.Generation != m.gen || e.State != m.state {
					t.Fatalf("wrote %+v after generation %v, the state is %s of %v", e, last, m.state, m.gen)
				}
				last = e.Generation
			}
			if v := m.View(now); v.Forced != nil && v.State != open {
				t.Fatalf("held, and %s", v.State)
			}
		}
	})
}
