package membership

import (
	"time"

	"apiproxy.internal/shared/status"
)

// Sweep lets time pass: silent nodes become suspect and gone, suspects are probed,
// and who has been gone for long is forgotten. Call it several times a second.
func (m *Members) Sweep(now int64) (out Outcome) {
	for _, id := range m.ids() {
		n := m.nodes[id]
		switch n.State {
		case status.Gone:
			if time.Duration(now-n.changed) >= ForgetAfter {
				m.forget(n, &out)
				continue
			}
			if !n.Dead() {
				m.probe(n, reprobeGone, now, &out)
			}
		case status.Suspect:
			if silence(n, now) >= GoneAfter {
				m.bury(n, ReasonSilent, now, &out)
				continue
			}
			m.probe(n, reprobe, now, &out)
		default:
			if silence(n, now) >= SuspectAfter {
				n.set(status.Suspect, now)
				out.tell(n, Suspect, "")
				m.probe(n, reprobe, now, &out)
			}
		}
	}
	return out
}

// probe asks for a probe unless one is under way, was a moment ago, or there is
// nothing to ask at.
func (m *Members) probe(n *member, pause time.Duration, now int64, out *Outcome) {
	if n.Address == "" || n.probing != "" || m.probes >= maxProbes {
		return
	}
	if n.probed != 0 && time.Duration(now-n.probed) < pause {
		return
	}
	m.probes++
	n.probing, n.probed = n.Incarnation, now
	out.Probes = append(out.Probes, Probe{n.ID, n.Incarnation, n.Address, n.TLS})
}

func (m *Members) unprobe(n *member) {
	if n.probing != "" {
		n.probing = ""
		m.probes--
	}
}

// forgetOldest makes room by forgetting the node that has been gone longest.
func (m *Members) forgetOldest(out *Outcome) bool {
	var oldest *member
	for _, id := range m.ids() {
		if n := m.nodes[id]; n.State == status.Gone && (oldest == nil || n.changed < oldest.changed) {
			oldest = n
		}
	}
	if oldest == nil {
		return false
	}
	m.forget(oldest, out)
	return true
}

func (m *Members) forget(n *member, out *Outcome) {
	m.unprobe(n)
	delete(m.nodes, n.ID)
	out.Deletes = append(out.Deletes, n.ID)
}
