package forward

import (
	"slices"
	"strings"
	"testing"

	"apiproxy.internal/dataplane/internal/http1"
)

// spellings of a field name that all mean the same.
func spellings(name string) []string {
	return []string{name, strings.ToLower(name), strings.ToUpper(name)}
}

func TestPassesUpstream(t *testing.T) {
	c := compile(t, header)
	for want, names := range map[bool][]string{
		false: {
			// One hop only.
			"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Proxy-Foo",
			"TE", "Trailer", "Transfer-Encoding", "Upgrade", "HTTP2-Settings",
			// Who the caller is, and which way the request came.
			"Cookie", "Origin", "Referer", "Authorization",
			"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-", "Forwarded", "X-Real-IP", "Via", "X-Request-ID",
			// What the node writes or answers itself.
			"Host", "Content-Length", "Expect", "X-Proxy-Admitted-At",
			// What the credential uses.
			"X-Api-Key",
			// Names that some servers read as others.
			"X_Forwarded_For", "Content_Length", "X_Api_Key", "a_b", "_", "Transfer_Encoding",
		},
		true: {
			"Accept", "Accept-Encoding", "Content-Type", "Content-Encoding", "User-Agent", "If-None-Match", "Range", "Cache-Control",
			"Idempotency-Key", "X-Forwarde", "X-Requested-With", "Xapikey", "X-Api-Key-2", "Cookie2", "Hosts", "Access-Control-Request-Method",
			"Tea", "Proxy", "Early-Data", "Upgrade-Insecure-Requests", "!", "~", "1",
		},
	} {
		for _, name := range names {
			for _, spelling := range spellings(name) {
				if got := passesUpstream([]byte(spelling), c); got != want {
					t.Errorf("%s: passes upstream is %v, want %v", spelling, got, want)
				}
			}
		}
	}
}

func TestPassesDownstream(t *testing.T) {
	for want, names := range map[bool][]string{
		false: {
			// One hop only; the framing is written anew.
			"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Connection",
			"TE", "Trailer", "Transfer-Encoding", "Upgrade", "Content-Length",
			// What the node says about itself.
			"RateLimit", "RateLimit-Policy", "X-Proxy-Request-ID", "X-Provider", "X-Degraded", "X-Cache-Age",
		},
		true: {
			"Content-Type", "Content-Encoding", "Set-Cookie", "Location", "Retry-After", "ETag", "Vary", "Via", "WWW-Authenticate",
			"Access-Control-Allow-Origin", "Cache-Status", "Proxy-Status", "X-RateLimit-Remaining", "X-Request-ID", "x_y",
		},
	} {
		for _, name := range names {
			for _, spelling := range spellings(name) {
				if got := PassesDownstream([]byte(spelling)); got != want {
					t.Errorf("%s: passes downstream is %v, want %v", spelling, got, want)
				}
			}
		}
	}
}

func TestNamed(t *testing.T) {
	for _, tc := range []struct {
		lines []string
		named []string // of A, B, Close and Keep-Alive
	}{
		// The usual messages name nothing.
		{nil, nil},
		{[]string{"Connection:"}, nil},
		{[]string{"Connection: keep-alive"}, nil},
		{[]string{"Connection: Close, ,Keep-Alive"}, nil},
		// In any case, beside others, over several lines.
		{[]string{"Connection: a"}, []string{"A"}},
		{[]string{"CONNECTION: close, A ,\tb"}, []string{"A", "B"}},
		{[]string{"Connection: keep-alive", "X: 1", "Connection: b"}, []string{"B"}},
		// Neither a part of a name nor another field counts.
		{[]string{"Connection: ab", "X-Connection: a"}, nil},
		// As many names as are looked at; with one more, everything is named.
		{[]string{"Connection: " + strings.Repeat("x,", maxNamed-1) + "a"}, []string{"A"}},
		{[]string{"Connection: " + strings.Repeat("x,", maxNamed) + "x"}, []string{"A", "B"}},
		{[]string{"Connection: x" + strings.Repeat(",", maxNamed+1)}, []string{"A", "B"}},
		{slices.Repeat([]string{"Connection: x"}, maxNamed+1), []string{"A", "B"}},
	} {
		fields := parse(t, tc.lines...)
		var named []string
		for _, name := range []string{"A", "B"} {
			if NamesFields(fields) && IsNamed(fields, []byte(name)) {
				named = append(named, name)
			}
		}
		if !slices.Equal(named, tc.named) {
			t.Errorf("%.80q names %q, want %q", tc.lines, named, tc.named)
		}
	}
}

// A field that Connection names goes, its name in any case, and others stay.
func TestAppendFieldsDropsNamed(t *testing.T) {
	r := Request{Credential: compile(t, none), Fields: parse(t,
		"X-A: 1", "Connection: x-a, content-type, close", "x-a: 2", "Content-Type: text/plain", "B: 3")}
	if got := string(appendFields(nil, &r)); got != "B: 3\r\n" {
		t.Errorf("%q went upstream", got)
	}
}

// What passes once passes again: a head that the node wrote is one that it
// would accept.
func TestAppendFieldsIsStable(t *testing.T) {
	r := Request{Credential: compile(t, none), Fields: parse(t, "Accept:  a , b ", "X: \xff", "Y:")}
	once := appendFields(nil, &r)
	var err error
	if r.Fields, err = http1.ParseFields(nil, once); err != nil {
		t.Fatal(err)
	}
	if twice := appendFields(nil, &r); string(twice) != string(once) {
		t.Errorf("%q became %q", once, twice)
	}
}
