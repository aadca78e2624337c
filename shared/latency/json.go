package latency

import (
	"encoding/json"
	"fmt"
)

// sparse is a Snapshot in JSON: only the buckets that counted something.
type sparse struct {
	Buckets   [][2]uint64 `json:"b,omitempty"` // index and count
	SumMicros uint64      `json:"us,omitempty"`
}

// IsZero reports whether nothing was counted.
func (s Snapshot) IsZero() bool { return s == Snapshot{} }

// MarshalJSON writes the buckets that are not empty.
func (s Snapshot) MarshalJSON() ([]byte, error) {
	out := sparse{SumMicros: s.SumMicros}
	for i, n := range s.Counts {
		if n > 0 {
			out.Buckets = append(out.Buckets, [2]uint64{uint64(i), n})
		}
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON wrote and refuses buckets that do not
// exist.
func (s *Snapshot) UnmarshalJSON(data []byte) error {
	var in sparse
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	*s = Snapshot{SumMicros: in.SumMicros}
	for _, b := range in.Buckets {
		if b[0] >= Buckets {
			return fmt.Errorf("latency: there is no bucket %d", b[0])
		}
		s.Counts[b[0]] += b[1]
	}
	return nil
}
