package clustertest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"apiproxy.internal/controlplane/linear"
)

// kills is how often the controller is killed.
func kills() int {
	if long() {
		return 20
	}
	return 4
}

// doubtful is a change whose answer was lost.
type doubtful struct {
	*linear.Call
	author string
}

// writer does to the configuration what the judge knows, over the API.
type writer struct {
	*client
	base string
}

// burst is the part of a document that the judge looks at.
type judged struct {
	RateLimit struct {
		Global struct {
			Burst int64 `json:"burst"`
		} `json:"global"`
		PerIP struct {
			Burst int64 `json:"burst"`
		} `json:"per_ip"`
	} `json:"rate_limit"`
}

// do makes a call; an error is for an answer that was lost.
func (w writer) do(in linear.Input, author string) (out linear.Output, err error) {
	header := []string{"Authorization", "Bearer " + token, "X-Change-Author", author}
	if in.Expect != 0 {
		header = append(header, "If-Match", fmt.Sprintf(`"%d"`, in.Expect))
	}
	method, body := http.MethodPatch, ""
	switch in.Kind {
	case linear.Get:
		method, body = http.MethodGet, ""
	case linear.Put:
		method, body = http.MethodPut, fmt.Sprintf(document, in.A, in.B)
	case linear.PatchA:
		body = fmt.Sprintf(`{"rate_limit":{"global":{"burst":%d}}}`, in.A)
	case linear.PatchB:
		body = fmt.Sprintf(`{"rate_limit":{"per_ip":{"burst":%d}}}`, in.B)
	}
	a, err := w.try(method, w.base+"/api/v1/config", body, header...)
	switch {
	case err != nil:
		return out, err
	case a.status == http.StatusPreconditionFailed:
		return linear.Output{Stale: true}, nil
	case a.status != http.StatusOK:
		return out, fmt.Errorf("%d %s", a.status, a.body)
	}
	if _, err := fmt.Sscanf(a.header.Get("ETag"), `"%d"`, &out.State.Revision); err != nil {
		return out, err
	}
	if in.Kind == linear.Get {
		var j judged
		if err := json.Unmarshal([]byte(a.body), &j); err != nil {
			return out, err
		}
		out.State.A, out.State.B = j.RateLimit.Global.Burst, j.RateLimit.PerIP.Burst
	}
	return out, nil
}

const document = `{"rate_limit":{"global":{"rate":1,"burst":%d},"per_ip":{"rate":1,"burst":%d}}}`

// authors are the revisions that are remembered, by author.
func (c *client) authors() map[string]uint64 {
	c.t.Helper()
	var list struct {
		Revisions []struct {
			Revision uint64
			Author   string
		}
	}
	decode(c.t, c.api("GET", "/api/v1/config/revisions", "").body, &list)
	all := map[string]uint64{}
	for _, r := range list.Revisions {
		all[r.Author] = r.Revision
	}
	return all
}

// A controller that is killed while clients read, put and patch loses no change
// that it acknowledged, invents none, and shows everybody the same history.
func TestKillsLoseNothing(t *testing.T) {
	t.Parallel()
	f, c := startFleet(t, 0, fmt.Sprintf(document, 1, 1))
	first, err := writer{c, f.ControlURL}.do(linear.Input{Kind: linear.Get}, "")
	if err != nil {
		t.Fatal(err)
	}
	h := linear.New(first.State)
	for round := range kills() {
		var (
			wg    sync.WaitGroup
			mu    sync.Mutex
			doubt []doubtful
		)
		before := h.Len()
		w := writer{c, f.ControlURL}
		for who := range 4 {
			wg.Go(func() {
				known := first.State.Revision
				for n := 0; ; n++ {
					in := linear.Input{
						Kind: []linear.Kind{linear.Get, linear.Put, linear.PatchA, linear.PatchB}[rand.IntN(4)],
						A:    1 + rand.Int64N(1e9), B: 1 + rand.Int64N(1e9),
					}
					if in.Kind == linear.Put || in.Kind != linear.Get && rand.IntN(2) == 0 {
						in.Expect = known // a put must name one
					}
					author := fmt.Sprint(round, "-", who, "-", n)
					call := h.Call(who, in)
					out, err := w.do(in, author)
					if err != nil {
						if in.Kind != linear.Get {
							mu.Lock()
							doubt = append(doubt, doubtful{call, author})
							mu.Unlock()
						}
						return
					}
					call.Done(out)
					if !out.Stale {
						known = out.State.Revision
					} else if now, err := w.do(linear.Input{Kind: linear.Get}, ""); err == nil {
						known = now.State.Revision
					}
				}
			})
		}
		more := before + 10 + rand.IntN(40)
		c.eventually("some calls", func() bool { return h.Len() >= more })
		f.Controller.Kill()
		wg.Wait()
		if err := f.StartController(); err != nil {
			t.Fatal(err)
		}
		past := c.authors() // it knows whether a change whose answer was lost was made
		for _, d := range doubt {
			if revision := past[d.author]; revision != 0 {
				d.Done(linear.Output{State: linear.State{Revision: revision}})
			}
		}
		call := h.Call(0, linear.Input{Kind: linear.Get})
		now, err := writer{c, f.ControlURL}.do(linear.Input{Kind: linear.Get}, "")
		if err != nil {
			t.Fatal(err)
		}
		call.Done(now)
	}
	t.Logf("%d calls, %d kills", h.Len(), kills())
	if err := h.Check(time.Minute, filepath.Join(os.TempDir(), "clustertest-history.html")); err != nil {
		t.Fatal(err)
	}
}
