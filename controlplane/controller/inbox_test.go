package controller

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
)

func TestInboxKeepsTheNewestOfEachNode(t *testing.T) {
	b := newInbox()
	for i := range 1000 {
		if replaced := b.put("a", []byte(strconv.Itoa(i))); replaced != (i > 0) {
			t.Fatalf("report %d replaced one: %v", i, replaced)
		}
		b.put("b", []byte("of b"))
	}
	for _, want := range []string{"a 999", "b of b"} {
		node, data, ok := b.take(t.Context())
		if got := fmt.Sprintf("%s %s", node, data); !ok || got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if node, _, ok := b.take(over); ok {
		t.Errorf("one more, of %s", node)
	}
	if b.put("a", nil); len(b.waiting) != 1 {
		t.Errorf("%d wait", len(b.waiting))
	}
}

// Nothing is lost between those who put and the one who takes.
func TestInboxWakes(t *testing.T) {
	b := newInbox()
	var nodes sync.WaitGroup
	for i := range 20 {
		nodes.Go(func() {
			for k := range 1000 {
				b.put(strconv.Itoa(i), []byte(strconv.Itoa(k)))
			}
		})
	}
	for last := 0; last < 20; {
		_, data, _ := b.take(t.Context())
		if string(data) == "999" {
			last++
		}
	}
	nodes.Wait()
}
