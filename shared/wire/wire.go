// Package wire is the contract between the planes on NATS: the names of
// buckets, keys and subjects, and the messages on them.
//
// Everything is JSON, so that `nats sub` and `nats kv get` show what happens.
// A message begins with its version. Fields are only ever added, and what a
// reader does not know it skips, so an old message still decodes and a new one
// can be read by an old program; the version is raised when that is no longer
// true, and a reader refuses what is newer than itself.
//
// Who writes what:
//
//	cfg      file    the configuration, holds, purges, the epoch       controller
//	members  file    joins, drains and deaths                          leader
//	ctl      memory  who leads                                         controller
//	brk      memory  the state of each provider's breaker              leader
//	usage    memory  the last report of each node                      that node
//
// A node publishes its report plainly on the subject of its key in usage: the
// bucket stores it, and the leader, who subscribes to the subject, hears it at
// once, whether or not JetStream is healthy at that moment. Answers travel as
// plain messages too and are stored nowhere.
package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
)

// Version is the newest version of the messages that this program writes and
// reads.
const Version = 1

// The buckets.
const (
	ConfigBucket  = "cfg"
	MembersBucket = "members"
	ControlBucket = "ctl"
	BreakerBucket = "brk"
	UsageBucket   = "usage"
)

// Keys of ConfigBucket and ControlBucket. The keys of MembersBucket and
// UsageBucket are node ids, those of BreakerBucket names of providers.
const (
	ConfigKey = "current" // ConfigEntry; its history is the history of revisions
	EpochKey  = "epoch"   // Epoch
	PurgesKey = "purges"  // Purges
	LeaderKey = "leader"  // Leader
)

// HoldKey is the key in ConfigBucket of an operator's hold on a breaker.
func HoldKey(provider string) string { return "hold." + provider }

// ReportSubject is where a node publishes its reports, and ReportSubjects what
// the leader listens to.
func ReportSubject(node string) string { return "$KV." + UsageBucket + "." + node }

// ReportSubjects are the report subjects of all nodes.
const ReportSubjects = "$KV." + UsageBucket + ".*"

// AnswerSubject is where a node hears the leader.
func AnswerSubject(node string) string { return "q.grant." + node }

// InboxPrefix begins the reply subjects of a node: only it may listen there.
func InboxPrefix(node string) string { return "_INBOX." + node }

var validNode = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// ValidNode reports whether id can be a node's: 1 to 64 letters, digits, dashes
// and underscores, so that it is one token of a subject.
func ValidNode(id string) bool { return validNode.MatchString(id) }

// MaxMessage bounds what Decode reads, in bytes. A configuration is at most
// 1 MiB; the rest is what JSON and the other fields may add.
const MaxMessage = 2 << 20

// ErrVersion is in the error of a message that is newer than this program.
var ErrVersion = errors.New("the message is of a newer version; upgrade this program")

// Message is any of the messages of this package.
type Message interface{ version() int }

// Head is the beginning of every message.
type Head struct {
	V int `json:"v"`
}

func (h Head) version() int { return h.V }

// Now is the head of a message that this program writes.
func Now() Head { return Head{Version} }

// Decode reads a message. It never panics; the error says what is wrong.
func Decode[T Message](data []byte) (T, error) {
	var m T
	if len(data) > MaxMessage {
		return m, fmt.Errorf("wire: %d bytes are more than a message may have", len(data))
	}
	err := json.Unmarshal(data, &m)
	// The version first: a newer message may have a field of another type.
	if v := m.version(); v > Version {
		return m, fmt.Errorf("wire: %T of version %d: %w", m, v, ErrVersion)
	} else if err != nil {
		return m, fmt.Errorf("wire: not a %T: %w", m, err)
	} else if v < 1 {
		return m, fmt.Errorf("wire: a %T without a version", m)
	}
	return m, nil
}

// Encode writes a message; no type of this package can fail.
func Encode(m Message) []byte {
	data, err := json.Marshal(m)
	if err != nil {
		panic("wire: " + err.Error())
	}
	return data
}
