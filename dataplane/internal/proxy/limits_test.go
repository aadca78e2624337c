package proxy

import (
	"testing"

	"apiproxy.internal/dataplane/internal/lease"
	"apiproxy.internal/dataplane/internal/snapshot"
	"apiproxy.internal/shared/quota"
)

// A request that waited for its token was admitted when that came, not when it
// was asked for: else the oracle would count it in a window to which it does not
// belong.
func TestAdmittedWhenTheTokenCame(t *testing.T) {
	at := func(now int64) lease.Time { return lease.Time{Mono: now, Boot: now} }
	l := lease.New(at(1), make(chan struct{}, 1))
	answer := quota.Answer{Term: 1, Nonce: 1, Lease: quota.Second, Wait: quota.Second}
	l.Apply(at(1), answer)
	answer.Seq = 1
	l.Apply(at(1), answer)

	p := &Proxy{Options: Options{Clock: func() int64 { // the token comes while the request waits
		answer.Seq, answer.Gave = 2, quota.Sum{Room: quota.Token, Tokens: quota.Token}
		l.Apply(at(1), answer)
		return 1000
	}}}
	x := new(exchange)
	d := p.take(x, &snapshot.Limit{Bucket: l.Bucket(), Lease: l}, 7)
	if !d.OK || x.admittedAt != 1000 {
		t.Errorf("ok %v, admitted at %d, want the moment after the wait", d.OK, x.admittedAt)
	}
}
