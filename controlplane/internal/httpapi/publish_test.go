package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"apiproxy.internal/shared/config"
)

// Of writers who name the same revision exactly one wins, also if all of them
// write the same.
func TestOneWriterWins(t *testing.T) {
	s := start(t, nil)
	same := string(config.Default().JSON())
	for round := range 20 {
		base := s.revision()
		var won, lost atomic.Int32
		var wg sync.WaitGroup
		for i := range 8 {
			body := same
			if round%2 == 0 {
				body = fmt.Sprintf(`{"server":{"max_in_flight":%d}}`, 1000*round+i+1)
			}
			wg.Go(func() {
				switch got := s.do(t, "PUT", "/api/v1/config", body, "If-Match: "+etag(base)); {
				case got.status == 200 && got.json(t)["revision"] == float64(base+1):
					won.Add(1)
				case got.status == 412 && got.json(t)["revision"] == float64(base+1):
					lost.Add(1)
				default:
					t.Errorf("%d %s", got.status, got.body)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 || lost.Load() != 7 {
			t.Fatalf("round %d: %d won and %d lost", round, won.Load(), lost.Load())
		}
	}
}

// A change without a revision is made again on top of whatever came in between.
func TestConflictsAreRetriedInside(t *testing.T) {
	s := start(t, nil)
	for _, row := range []struct{ method, path, body string }{
		{"PUT", "/api/v1/limits/global", `{"rate":5}`},
		{"PATCH", "/api/v1/config", `{"rate_limit":{"global":{"rate":5}}}`},
	} {
		s.fake = newFake()
		s.between = func() { s.do(t, "PUT", "/api/v1/limits/per_ip", `{"rate":7}`) }
		got := s.do(t, row.method, row.path, row.body)
		if got.status != 200 || got.json(t)["revision"] != 3.0 {
			t.Errorf("%s: %d %s", row.path, got.status, got.body)
		}
		limits := s.revisions[2].Config.RateLimit
		if limits.Global.Rate.String() != "5" || limits.PerIP.Rate.String() != "7" {
			t.Errorf("%s: one of the changes was lost: %s", row.path, got.body)
		}
	}
}

func TestConditionalPatchIsNotRetried(t *testing.T) {
	s := start(t, nil)
	s.between = func() { s.do(t, "PUT", "/api/v1/limits/per_ip", `{"rate":7}`) }
	got := s.do(t, "PATCH", "/api/v1/config", `{"rate_limit":{"global":{"rate":5}}}`, `If-Match: "1"`)
	if got.status != 412 || got.json(t)["revision"] != 2.0 || s.revision() != 2 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// What the nodes have not applied in time is in the answer.
func TestWaitRunsOut(t *testing.T) {
	s := start(t, nil)
	s.applied = func(ctx context.Context, revision uint64) Applied {
		<-ctx.Done()
		return Applied{Nodes: 3, Applied: 2, Pending: []Pending{{"n3", fmt.Sprintf("it has not reported revision %d yet", revision)}}}
	}
	got := s.do(t, "PUT", "/api/v1/limits/global?wait=20ms", `{"rate":5}`)
	if want := `{"revision":2,"nodes":3,"applied":2,"pending":[{"id":"n3","reason":"it has not reported revision 2 yet"}]}`; got.status != 200 || strings.TrimSpace(got.body) != want {
		t.Errorf("%d %s, want %s", got.status, got.body, want)
	}
}

// No nodes at all is an answer too.
func TestWaitForNobody(t *testing.T) {
	s := start(t, nil)
	s.applied = func(context.Context, uint64) Applied { return Applied{} }
	got := s.do(t, "PUT", "/api/v1/limits/global?wait=1s", `{"rate":5}`)
	if want := `{"revision":2,"nodes":0,"applied":0}`; strings.TrimSpace(got.body) != want {
		t.Errorf("%s, want %s", got.body, want)
	}
}

func TestFailures(t *testing.T) {
	s := start(t, nil)
	reads := []string{"/api/v1/config", "/api/v1/config/revisions", "/api/v1/config/revisions/1", "/api/v1/limits", "/api/v1/nodes", "/api/v1/breakers"}
	for _, row := range []struct {
		fail   error
		status int
		want   string
	}{
		{fmt.Errorf("%w: NATS does not answer", ErrUnavailable), 503, "NATS does not answer"},
		{fmt.Errorf("%w: timeout", ErrUncertain), 504, "may or may not"},
		{fmt.Errorf("%w: 12 bytes free", ErrFull), 507, "12 bytes free"},
		{errors.New("canary of the inside"), 500, "its log says why"},
	} {
		s.fake = newFake()
		s.fail = row.fail
		for _, w := range writes {
			got := s.do(t, w.method, w.path, w.body, "If-Match: *")
			if got.status != row.status || !strings.Contains(got.body, row.want) || strings.Contains(got.body, "canary") {
				t.Errorf("%s %s: %d %s, want %d %s", w.method, w.path, got.status, got.body, row.status, row.want)
			}
		}
		for _, path := range reads {
			if got := s.do(t, "GET", path, ""); got.status != row.status {
				t.Errorf("GET %s: %d %s, want %d", path, got.status, got.body, row.status)
			}
		}
		if !strings.Contains(s.log.String(), row.fail.Error()) {
			t.Errorf("the log does not tell of %v", row.fail)
		}
		if s.writes != 0 {
			t.Error("something was written")
		}
	}
}

func TestReady(t *testing.T) {
	s := start(t, nil)
	s.ready = errors.New("no configuration yet; wait for NATS")
	if got := s.do(t, "GET", "/ready", ""); got.status != 503 || !strings.Contains(got.body, "wait for NATS") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := s.do(t, "GET", "/health", ""); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// A change goes on when its client has gone, and the audit tells how it ended.
func TestClientLeavesDuringChange(t *testing.T) {
	s := start(t, nil)
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan struct{})
	s.between = func() { leave(); <-gone }
	request, _ := http.NewRequestWithContext(ctx, "PUT", s.url+"/api/v1/limits/global", strings.NewReader(`{"rate":5}`))
	request.Header.Set("Authorization", "Bearer "+token)
	if _, err := http.DefaultClient.Do(request); err == nil {
		t.Error("there was an answer")
	}
	close(gone)
	<-s.seen
	if line := s.log.audits(t); s.revision() != 2 || len(line) != 1 || line[0]["result"] != "published" || line[0]["revision_to"] != 2.0 {
		t.Errorf("revision %d, audit %v", s.revision(), line)
	}
}

// What is published never carries the number of an older revision.
func TestRevisionInside(t *testing.T) {
	s := start(t, nil)
	old := *s.revisions[0].Config
	old.Revision = 1
	s.revisions[0].Config = &old
	s.do(t, "PUT", "/api/v1/limits/global", `{"rate":5}`)
	s.do(t, "POST", "/api/v1/config/revisions/1/restore", ``, "If-Match: *")
	for _, r := range s.revisions[1:] {
		if r.Config.Revision != 0 {
			t.Errorf("revision %d says that it is %d", r.Revision, r.Config.Revision)
		}
	}
	if old.Revision != 1 {
		t.Error("a document that was published was changed")
	}
}

func TestPanicIsAnswered(t *testing.T) {
	s := start(t, nil)
	s.between = func() { panic("canary") }
	got := s.do(t, "PUT", "/api/v1/limits/global", `{"rate":5}`)
	if got.status != 500 || strings.Contains(got.body, "canary") || !strings.Contains(s.log.String(), "canary") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if line := s.log.audits(t); len(line) != 1 || line[0]["result"] != "failed" {
		t.Errorf("audit: %v", line)
	}
	if got := s.do(t, "PUT", "/api/v1/limits/global", `{"rate":5}`); got.status != 200 {
		t.Errorf("afterwards: %d %s", got.status, got.body)
	}
}
