package prober

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"apiproxy.internal/controlplane/internal/membership"
)

func TestProbe(t *testing.T) {
	answer := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/health" {
				http.NotFound(w, r)
				return
			}
			_, _ = io.WriteString(w, text)
		}
	}
	serve := func(h http.Handler) string {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return s.Listener.Addr().String()
	}
	secure := httptest.NewTLSServer(answer(`{"incarnation":"7"}`))
	t.Cleanup(secure.Close)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	good := serve(answer(`{"status":"ok","incarnation":"7"}`))
	for name, c := range map[string]struct {
		address string
		tls     bool
		found   membership.Finding
		who     string
	}{
		"a node":             {good, false, membership.Answered, "7"},
		"a node with TLS":    {secure.Listener.Addr().String(), true, membership.Answered, "7"},
		"TLS where none is":  {good, true, membership.Unclear, ""},
		"none where TLS is":  {secure.Listener.Addr().String(), false, membership.Unclear, ""},
		"nobody":             {closed.Addr().String(), false, membership.NobodyHome, ""},
		"nobody, TLS":        {closed.Addr().String(), true, membership.NobodyHome, ""},
		"silence":            {silent.Addr().String(), false, membership.Unclear, ""},
		"something else":     {serve(answer("hello")), false, membership.Unclear, ""},
		"an older node":      {serve(answer(`{"status":"ok"}`)), false, membership.Unclear, ""},
		"an endless answer":  {serve(answer(strings.Repeat(" ", 1<<20) + `{"incarnation":"7"}`)), false, membership.Unclear, ""},
		"a redirect":         {serve(http.RedirectHandler("http://"+good+"/health", http.StatusFound)), false, membership.Unclear, ""},
		"no address":         {"", false, membership.Unclear, ""},
		"no port":            {"127.0.0.1", false, membership.Unclear, ""},
		"a path for address": {"127.0.0.1:1/x?y", false, membership.Unclear, ""},
	} {
		t.Run(name, func(t *testing.T) {
			timeout := 10 * time.Second
			if name == "silence" {
				timeout = 20 * time.Millisecond
			}
			found, who := New(timeout).Probe(context.Background(), membership.Probe{Address: c.address, TLS: c.tls})
			if found != c.found || who != c.who {
				t.Fatalf("got %v %q", found, who)
			}
		})
	}
}
