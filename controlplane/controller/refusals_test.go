package controller

import (
	"fmt"
	"testing"
	"time"
)

func TestRefusalsAreToldOnce(t *testing.T) {
	var r refusals
	now := time.Now()
	for i := range 100 {
		if _, tell := r.tell("login node-1", now.Add(time.Duration(i)*10*time.Millisecond)); tell != (i == 0) {
			t.Fatalf("refusal %d: told %t", i, tell)
		}
	}
	if skipped, tell := r.tell("publish node-1", now.Add(time.Second)); !tell || skipped != 99 {
		t.Errorf("another kind: %d %t", skipped, tell)
	}
	lines := 0
	for i := range 1000 {
		if _, tell := r.tell(fmt.Sprint("login ", i), now.Add(2*time.Second)); tell {
			lines++
		}
	}
	if lines != refusalsMost-2 {
		t.Errorf("%d strangers got a line", lines)
	}
	if skipped, tell := r.tell("login node-1", now.Add(refusalsEvery)); !tell || skipped != 1000-lines {
		t.Errorf("ten seconds later: %d %t", skipped, tell)
	}
}
