package snapshot

import (
	"apiproxy.internal/shared/config"
	"apiproxy.internal/shared/quota"
)

// ReportSuspects is what the next report of a tick says of client addresses that
// take much, in a cluster of that many nodes.
func (s *State) ReportSuspects(limits config.RateLimit, nodes int) []quota.Suspect {
	l := limits.PerIP
	if l == nil || nodes < 2 {
		return nil // nobody else can have served them
	}
	num, den := l.Rate.PerSecond()
	return s.suspects.Report(nil, quota.Params{Num: num, Den: den, Burst: l.Burst}.Rate(), nodes, l.IPv6Prefix)
}

// ApplyVerdicts charges the suspects with what other nodes admitted.
func (s *State) ApplyVerdicts(now int64, verdicts []quota.Verdict) {
	s.mu.Lock()
	table := s.perIP
	s.mu.Unlock()
	if table != nil && len(verdicts) > 0 {
		s.suspects.Apply(now, table, verdicts)
	}
}
