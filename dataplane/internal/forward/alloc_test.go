//go:build !race

package forward

import (
	"testing"

	"apiproxy.internal/shared/config"
)

func TestAllocations(t *testing.T) {
	fields := parse(t, "Host: a.test", "Accept: */*", "Authorization: x", "X-Forwarded-For: 192.0.2.1", "Connection: keep-alive, x", "X: 1")
	for name, auth := range map[string]config.Auth{"none": none, "basic": basic, "header": header, "query": query, "path": inPath} {
		r := Request{Method: []byte("POST"), Host: "api.test", BasePath: "/base", Path: []byte("/v1/x"), Query: []byte("a=%20&apikey=mine&b=2"),
			Fields: fields, BodyLength: 5, AdmittedAt: 1, Credential: compile(t, auth)}
		dst := AppendHead(nil, &r)
		if got := testing.AllocsPerRun(100, func() { dst = AppendHead(dst[:0], &r) }); got != 0 {
			t.Errorf("%s: %v allocations, want 0", name, got)
		}
	}
	if got := testing.AllocsPerRun(100, func() { PassesDownstream(fields[1].Name) }); got != 0 {
		t.Errorf("PassesDownstream: %v allocations, want 0", got)
	}
}
