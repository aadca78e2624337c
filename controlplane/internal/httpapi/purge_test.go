package httpapi

import (
	"strings"
	"testing"
	"time"
)

// What is asked for is what the backend purges, and the client decides how long it
// waits for the nodes.
func TestPurge(t *testing.T) {
	s := start(t, nil)
	for query, want := range map[string]time.Duration{"": purgeWait, "?wait=0s": 0, "?wait=30s": 30 * time.Second} {
		s.do(t, "POST", "/api/v1/cache/purge"+query, `{"provider":"zerion","exact":"/zerion/x?a=1"}`)
		if s.purge != (Purge{Provider: "zerion", Exact: "/zerion/x?a=1"}) || s.waited != want {
			t.Errorf("%q: purged %+v, waited %v, want %v", query, s.purge, s.waited, want)
		}
	}
}

// A purge that a node has not acknowledged says so, to the operator and to the
// audit, which holds nothing of the target.
func TestPurgeIncomplete(t *testing.T) {
	s := start(t, nil)
	s.do(t, "POST", "/api/v1/cache/purge", `{"exact":"/zerion/x?secret=1"}`)
	s.pending = []Pending{{ID: "n3", Reason: "it has not been heard for 3s"}}
	got := s.do(t, "POST", "/api/v1/cache/purge", `{"exact":"/zerion/x?secret=1"}`)
	const want = `{"id":"K3","nodes":3,"acknowledged":2,"entries":42,"done":[{"id":"n1","entries":40},{"id":"n2","entries":2}],"pending":[{"id":"n3","reason":"it has not been heard for 3s"}]}`
	if got.status != 200 || strings.TrimSpace(got.body) != want {
		t.Errorf("%d %s", got.status, got.body)
	}
	audits := s.log.audits(t)
	if len(audits) != 2 || audits[0]["result"] != "done" || audits[1]["result"] != "incomplete" || strings.Contains(s.log.String(), "secret") {
		t.Errorf("%v", audits)
	}
}
