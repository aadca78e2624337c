package membership

import "apiproxy.internal/shared/wire"

// Kind is what happened to a node; a closed list.
type Kind string

// The kinds.
const (
	Joined   Kind = "joined"   // is new, or here again after it was gone
	Suspect  Kind = "suspect"  // is silent
	Back     Kind = "back"     // was suspect and reports again
	Draining Kind = "draining" // is about to stop
	Gone     Kind = "gone"     // Reason says why; may come a second time, with proof, after ReasonSilent
	Refused  Kind = "refused"  // a process that may not take part; the node that has its id is not affected
)

// Why a node is gone or a process refused; a closed list.
const (
	ReasonSilent    = "silent"                // not a proof
	ReasonLeft      = "left"                  // said goodbye
	ReasonRestarted = "restarted"             // another process has its id
	ReasonClosed    = "connection refused"    // its address refuses connections
	ReasonOther     = "another process"       // its address answers as somebody else
	ReasonConfirmed = "confirmed by operator" //
	ReasonDuplicate = "duplicate id"          // refused: the id is in use
	ReasonFull      = "too many nodes"        // refused
)

// Event is something to tell the world.
type Event struct {
	Kind        Kind
	Node        string
	Incarnation string
	Address     string
	Reason      string // for Gone and Refused; "restarted" for a Joined that replaces another process
}

// Probe asks the caller to find out who answers at an address, and to call Probed.
type Probe struct {
	Node        string
	Incarnation string // that should answer
	Address     string
	TLS         bool
}

// Outcome is what the caller has to do.
type Outcome struct {
	// Accepted says that the report counts. A report that is old or not decided
	// upon does not.
	Accepted bool
	// Rejected is for the node's operator: why this process may not take part.
	Rejected string
	Events   []Event
	Probes   []Probe
	// Writes are for wire.MembersBucket, at their Node; the caller sets the Time.
	// Deletes are the keys of nodes that are forgotten.
	Writes  []wire.Member
	Deletes []string
}

func (out *Outcome) tell(n *member, kind Kind, reason string) {
	out.Events = append(out.Events, Event{Kind: kind, Node: n.ID, Incarnation: n.Incarnation, Address: n.Address, Reason: reason})
}

func (out *Outcome) write(n *member) {
	out.Writes = append(out.Writes, wire.Member{
		Head: wire.Now(), Node: n.ID, Incarnation: n.Incarnation, Address: n.Address, TLS: n.TLS,
		Version: n.Version, State: n.State, Reason: n.Reason,
	})
}
