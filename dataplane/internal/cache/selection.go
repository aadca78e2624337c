package cache

import "bytes"

// Selection names the copies that an operator wants gone: those of a provider,
// of targets that begin with Prefix, or of the one target Exact in all its
// variants. A target is path and query as clients write them. What is empty
// selects everything; where several are given, all must hold.
type Selection struct {
	Provider      string
	Prefix, Exact []byte
}

// Matches tells store.Purge which keys are meant.
func (s Selection) Matches(key []byte) bool {
	provider, target := Target(key)
	return (s.Provider == "" || s.Provider == string(provider)) &&
		bytes.HasPrefix(target, s.Prefix) &&
		(len(s.Exact) == 0 || bytes.Equal(target, s.Exact))
}
