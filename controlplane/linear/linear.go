// Package linear judges a history of configuration changes: whether puts, patches
// and reads by many clients at once, across crashes too, look as if each had
// happened at one moment between its call and its answer. Tests of this module and
// of the whole system use it; no program does.
//
// The configuration is reduced to two numbers, A and B, and its revision. A put
// sets both, a patch one of them; each that is made raises the revision by one.
package linear

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// State is what a read answers.
type State struct {
	Revision uint64
	A, B     int64
}

// Kind is what a client does.
type Kind string

// The kinds.
const (
	Get    Kind = "get"
	Put    Kind = "put"    // sets A and B
	PatchA Kind = "patchA" // sets A, leaves B
	PatchB Kind = "patchB"
)

// Input is a call.
type Input struct {
	Kind   Kind
	Expect uint64 // the revision that must be the current one; 0: any
	A, B   int64
}

// Output is an answer.
type Output struct {
	Stale bool  // the expected revision was not the current one; nothing was done
	State State // of a Get; of a change only the Revision counts
}

// step is the specification.
func step(now State, in Input, out Output) (bool, State) {
	if in.Kind == Get {
		return !out.Stale && out.State == now, now
	}
	if in.Expect != 0 && in.Expect != now.Revision {
		return out.Stale, now
	}
	if out.Stale || out.State.Revision != now.Revision+1 {
		return false, now
	}
	next := State{now.Revision + 1, in.A, in.B}
	switch in.Kind {
	case PatchA:
		next.B = now.B
	case PatchB:
		next.A = now.A
	}
	return true, next
}

// History records what happened. Safe for simultaneous use.
type History struct {
	initial State
	begin   time.Time

	mu  sync.Mutex
	ops []porcupine.Operation
}

// New begins a history with the state that everybody agrees upon.
func New(initial State) *History { return &History{initial: initial, begin: time.Now()} }

// Call is a call under way.
type Call struct {
	h      *History
	client int
	in     Input
	at     int64
}

// Call notes the beginning of a call. A client, a number from 0, has one call at a
// time. A call that is never Done did not happen: if its answer was lost, find out
// whether it was made, and only leave it if it was not and never will be.
func (h *History) Call(client int, in Input) *Call {
	return &Call{h, client, in, int64(time.Since(h.begin))}
}

// Done notes the answer, or that the call is known now to have been made.
func (c *Call) Done(out Output) {
	end := int64(time.Since(c.h.begin))
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	c.h.ops = append(c.h.ops, porcupine.Operation{ClientId: c.client, Input: c.in, Output: out, Call: c.at, Return: end})
}

// Len is how many calls are done.
func (h *History) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.ops)
}

// Check returns an error if no order explains the history, or none was found in
// time. If path is not empty, it writes a picture of the history there, an HTML
// page, when it fails.
func (h *History) Check(limit time.Duration, path string) error {
	h.mu.Lock()
	ops := slices.Clone(h.ops)
	h.mu.Unlock()
	model := porcupine.Model{
		Init: func() any { return h.initial },
		Step: func(state, in, out any) (bool, any) { return step(state.(State), in.(Input), out.(Output)) },
		DescribeOperation: func(in, out any) string {
			return fmt.Sprintf("%+v -> %+v", in, out)
		},
		DescribeState: func(state any) string { return fmt.Sprintf("%+v", state) },
	}
	result, info := porcupine.CheckOperationsVerbose(model, ops, limit)
	if result == porcupine.Ok {
		return nil
	}
	if path != "" {
		if err := porcupine.VisualizePath(model, info, path); err != nil {
			path = err.Error()
		}
	}
	if result == porcupine.Unknown {
		return fmt.Errorf("no order of %d calls was found within %v (%s)", len(ops), limit, path)
	}
	return fmt.Errorf("the history of %d calls is not linearizable (%s)", len(ops), path)
}
