// Package events tells whoever listens what happens in the cluster, and keeps
// the last of it for those who come back after a break.
package events

import (
	"encoding/json"
	"sync"
)

// The names of events.
const (
	Breaker         = "breaker"
	ConfigPublished = "config_published"
	ConfigApplied   = "config_applied"
	NodeJoined      = "node_joined"
	NodeLeft        = "node_left"
	NodeRefused     = "node_refused" // a process that uses the id of another
	LimitExhausted  = "limit_exhausted"
	CachePurged     = "cache_purged"
)

// Event is something that happened in the cluster.
type Event struct {
	ID   uint64 // grows; never 0
	Name string
	Data json.RawMessage // an object with "time"
}

const (
	kept    = 256 // events that a returning listener can catch up with
	pending = 256 // events that a listener may be behind
)

// Hub hands events to listeners. Safe for simultaneous use; it never waits for a
// listener.
type Hub struct {
	mu        sync.Mutex
	last      []Event // the newest at the end, at most kept
	next      uint64
	listeners map[chan Event]struct{}
	closed    bool
}

// New makes a hub whose first event has the number after first. A number that
// grows from start to start, such as a time, spares listeners that come back to
// another controller the events of a stranger.
func New(first uint64) *Hub {
	return &Hub{next: first + 1, listeners: make(map[chan Event]struct{})}
}

// Publish announces an event; data must be JSON-encodable.
func (h *Hub) Publish(name string, data any) {
	encoded, err := json.Marshal(data)
	if err != nil {
		return // a bug; an event is not worth a crash
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	e := Event{ID: h.next, Name: name, Data: encoded}
	h.next++
	if h.last = append(h.last, e); len(h.last) > kept {
		h.last = append(h.last[:0], h.last[len(h.last)-kept:]...)
	}
	for l := range h.listeners {
		select {
		case l <- e:
		default: // too slow: it may come back and catch up
			h.drop(l)
		}
	}
}

// Subscribe delivers events from now on and, before them, the kept ones after an
// id; 0 is no id. The channel is closed when the listener is too slow or the hub
// closes. cancel may be called more than once.
func (h *Hub) Subscribe(after uint64) (listen <-chan Event, cancel func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := make(chan Event, kept+pending)
	if after > 0 {
		for _, e := range h.last {
			if e.ID > after {
				l <- e
			}
		}
	}
	if h.closed {
		close(l)
		return l, func() {}
	}
	h.listeners[l] = struct{}{}
	return l, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.drop(l)
	}
}

// Close ends all subscriptions; later ones end at once.
func (h *Hub) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for l := range h.listeners {
		h.drop(l)
	}
}

func (h *Hub) drop(l chan Event) {
	if _, ok := h.listeners[l]; ok {
		delete(h.listeners, l)
		close(l)
	}
}
