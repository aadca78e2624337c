package quota

// Suspect is a client address that a node reports because it uses more than an
// eighth of an even share of its limit there. Others cost no byte.
type Suspect struct {
	Hash  uint64 `json:"a"` // keyed, the same on all nodes
	Taken int64  `json:"t"` // whole tokens since the last report
}

// Verdict is what is left of a suspect's bucket in the whole cluster.
type Verdict struct {
	Hash  uint64 `json:"a"`
	Level int64  `json:"l"` // micro-tokens; below 0 is a debt
}

// MaxSuspects is how many suspects one report carries at most.
const MaxSuspects = 256
