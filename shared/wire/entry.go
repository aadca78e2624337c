package wire

import (
	"encoding/json"
	"time"
)

// ConfigEntry is a published configuration, at ConfigKey.
type ConfigEntry struct {
	Head
	Revision uint64          `json:"revision"` // from 1; grows with every publication and never goes back
	Time     time.Time       `json:"time"`
	Author   string          `json:"author"`
	Reason   string          `json:"reason,omitempty"`
	Config   json.RawMessage `json:"config"` // the document, in its canonical form
}

// Hold is an operator's order to a breaker, at HoldKey. It survives every
// restart.
type Hold struct {
	Head
	State  string    `json:"state"` // open; a reset holds nothing
	Reason string    `json:"reason,omitempty"`
	Author string    `json:"author"`
	Until  time.Time `json:"until,omitzero"` // zero = until an operator ends it
}

// Epoch is the highest epoch that any leader has had, at EpochKey.
type Epoch struct {
	Head
	Epoch uint64 `json:"epoch"`
}

// Leader says who leads, at LeaderKey. The bucket forgets it after 15 s without
// renewal.
type Leader struct {
	Head
	Controller  string `json:"controller"`
	Incarnation string `json:"incarnation"`
	Epoch       uint64 `json:"epoch"`
}

// Member is what the leader wrote last of a node, at its id in MembersBucket.
type Member struct {
	Head
	Node        string    `json:"node"`
	Incarnation string    `json:"incarnation"`
	Address     string    `json:"address"`
	TLS         bool      `json:"tls,omitempty"` // of that address
	Version     string    `json:"version"`
	State       string    `json:"state"` // status.Live, Draining or Gone
	Time        time.Time `json:"time"`
	Reason      string    `json:"reason,omitempty"` // how it is known, for Gone; "silent" is no proof
}
