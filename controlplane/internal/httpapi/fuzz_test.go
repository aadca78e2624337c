package httpapi

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"apiproxy.internal/shared/config"
)

// FuzzWrite sends any body anywhere: there is always an answer, a refusal writes
// nothing, and whatever is published is a valid document.
func FuzzWrite(f *testing.F) {
	for i, w := range writes {
		f.Add(uint8(i), w.body, "application/json", `"1"`, "")
	}
	f.Add(uint8(0), oneProvider, "application/json", `*`, "dry_run=true")
	f.Add(uint8(3), `{"rate":1e308}`, "", "", "wait=1ms")
	f.Add(uint8(3), "rate: .nan", "application/yaml", "", "")
	f.Add(uint8(3), "&a {rate: *a}", "application/yaml", "", "")
	f.Add(uint8(7), "{\"reason\":\"\\u0000\"}", "", `W/"1", "2`, "%")
	backend := &server{}
	api := New(Options{Backend: backend, Token: token}) // takes too long to do it each time
	f.Fuzz(func(t *testing.T, route uint8, body, kind, match, query string) {
		w := writes[int(route)%len(writes)]
		backend.fake = newFake()
		r := httptest.NewRequestWithContext(context.Background(), w.method, w.path, strings.NewReader(body))
		r.URL.RawQuery = query
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header["Content-Type"] = []string{kind}
		if match != "" {
			r.Header["If-Match"] = []string{match}
		}
		answer := httptest.NewRecorder()
		api.ServeHTTP(answer, r)
		if answer.Code >= 500 || answer.Code < 200 {
			t.Errorf("%d %s", answer.Code, answer.Body)
		}
		if answer.Code != http.StatusOK && backend.writes > 0 {
			t.Errorf("%d and %d writes", answer.Code, backend.writes)
		}
		if _, _, err := config.Parse(backend.revisions[len(backend.revisions)-1].Config.JSON()); err != nil {
			t.Errorf("what was published is not valid: %v", err)
		}
	})
}

// FuzzTags reads any If-Match: what it accepts means the same when it is written
// down again.
func FuzzTags(f *testing.F) {
	for _, seed := range []string{`"1"`, `*`, `W/"3"`, `"1", "2" ,W/"3",`, `1`, `1, 2`, `"`, `"a b"`, `,,`, `"01"`, `"18446744073709551616"`, `* , "1"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		read, err := readTags(http.Header{"If-Match": {text}}, "If-Match")
		if err != nil {
			return
		}
		var again []string
		for _, r := range read.revisions {
			if !read.match(r) {
				t.Errorf("%q does not match %d", text, r)
			}
			again = append(again, etag(r))
		}
		if len(again) == 0 {
			return
		}
		second, err := readTags(http.Header{"If-Match": {strings.Join(again, ",")}}, "If-Match")
		if err != nil || len(second.revisions) != len(read.revisions) {
			t.Errorf("%q became %q: %v", text, again, err)
		}
	})
}
