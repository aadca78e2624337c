package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	env := map[string]string{
		"APIPROXY_LISTEN": "256.0.0.1:0", "ZERION_API_KEY": "from-env", "COINGECKO_API_KEY": "plain",
		"APIPROXY_COINGECKO_KEY": "prefixed", "APIPROXY_ALCHEMY_KEY": "prefixed",
	}
	ctx, stop := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, []string{"--listen=127.0.0.1:0", "--alchemy-key=from-flag"}, func(k string) string { return env[k] }, writer, io.Discard)
	}()
	line, err := bufio.NewReader(reader).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(line)
	if len(words) < 4 || !strings.Contains(line, words[1]+"/_control/stats") {
		t.Fatalf("printed %q", line)
	}
	// Flags win over APIPROXY_ variables, those over the providers' own, all over the demo keys.
	for _, tt := range []struct{ path, header, value string }{
		{"/zerion/test", "Authorization", "Basic ZnJvbS1lbnY6"}, // from-env:
		{"/coingecko/test", "X-Cg-Pro-Api-Key", "prefixed"},
		{"/v2/from-flag/test", "Accept", "*/*"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, words[1]+tt.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(tt.header, tt.value)
		r.Close = true
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", tt.path, response.StatusCode)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("run after its end: %v", err)
	}
}

func TestArguments(t *testing.T) {
	env := func(string) string { return "" }
	for _, tt := range []struct {
		args   []string
		stdout string
		err    string
	}{
		{[]string{"--help"}, "--listen ADDR", ""},
		{[]string{"--unknown"}, "", "see --help"},
		{[]string{"--zerion-key", "a", "stray-secret"}, "", "belong to no flag"},
		{[]string{"--listen", "256.0.0.1:0"}, "", "256.0.0.1"},
	} {
		var stdout bytes.Buffer
		err := run(t.Context(), tt.args, env, &stdout, io.Discard)
		if (err == nil) != (tt.err == "") || err != nil && (!strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%v: error %v, want %q", tt.args, err, tt.err)
		}
		if !strings.Contains(stdout.String(), tt.stdout) {
			t.Errorf("%v printed %q", tt.args, stdout.String())
		}
	}
}

func TestReachable(t *testing.T) {
	for addr, want := range map[string]string{
		"[::]:9100":      "http://localhost:9100",
		"127.0.0.1:9100": "http://127.0.0.1:9100",
		"[::1]:9100":     "http://[::1]:9100",
	} {
		if got := reachable(addr); got != want {
			t.Errorf("reachable(%q) = %q, want %q", addr, got, want)
		}
	}
}
