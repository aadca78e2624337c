package ledger

import "apiproxy.internal/shared/quota"

// maxAddresses bounds the memory for suspects: 4 MiB. Beyond it new ones are
// left to the nodes' own buckets.
const maxAddresses = 1 << 16

// Addresses adds up what suspect client addresses take on all nodes: one bucket
// for each, which may be in debt. It is neither exact nor durable: a lost report
// is a few tokens, a new leader begins with none. Not safe for simultaneous use.
type Addresses struct {
	rate, room int64
	buckets    map[uint64]*addrBucket
}

type addrBucket struct{ level, rest, at int64 }

// NewAddresses begins with no suspects.
func NewAddresses(p quota.Params) *Addresses {
	return &Addresses{rate: p.Rate(), room: p.Room(), buckets: make(map[uint64]*addrBucket)}
}

// Configure changes the limit of each address; debts are kept.
func (a *Addresses) Configure(p quota.Params) { a.rate, a.room = p.Rate(), p.Room() }

// Report adds what a node's suspects took and appends what is left of each.
func (a *Addresses) Report(now int64, suspects []quota.Suspect, dst []quota.Verdict) []quota.Verdict {
	for i, s := range suspects {
		if i == quota.MaxSuspects {
			break
		}
		b := a.buckets[s.Hash]
		if b == nil {
			if len(a.buckets) >= maxAddresses {
				continue
			}
			b = &addrBucket{level: a.room, at: now}
			a.buckets[s.Hash] = b
		}
		a.accrue(b, now)
		taken := min(max(s.Taken, 0), quota.MaxRoom/quota.Token) * quota.Token
		b.level = max(b.level-taken, -1000*max(a.room, quota.Token))
		dst = append(dst, quota.Verdict{Hash: s.Hash, Level: b.level})
	}
	return dst
}

func (a *Addresses) accrue(b *addrBucket, now int64) {
	var t int64
	t, b.rest = quota.Earned(a.rate, now-b.at, b.rest)
	b.at = max(b.at, now)
	if b.level += t; b.level >= a.room {
		b.level, b.rest = a.room, 0
	}
}

// Tick forgets who has a full bucket again. Call it about once a second.
func (a *Addresses) Tick(now int64) {
	for hash, b := range a.buckets {
		if a.accrue(b, now); b.level >= a.room {
			delete(a.buckets, hash)
		}
	}
}

// Len is how many suspects there are.
func (a *Addresses) Len() int { return len(a.buckets) }
