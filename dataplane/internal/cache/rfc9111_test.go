package cache

import (
	"strings"
	"testing"
	"time"

	"apiproxy.internal/dataplane/internal/http1"
	"apiproxy.internal/dataplane/internal/verdict"
)

// Tests whose name begins with TestRFC hold one requirement each;
// docs/caching.md lists them.

var clock = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) // when answers arrive

const now = 1000 * second // the same on the node's clock

func lines(t testing.TB, lines ...string) []http1.Field {
	t.Helper()
	if len(lines) == 0 || len(lines) == 1 && lines[0] == "" {
		return nil
	}
	f, err := http1.ParseFields(nil, []byte(strings.Join(lines, "\r\n")+"\r\n"))
	if err != nil {
		t.Fatal(lines, err)
	}
	return f
}

// split turns "A: 1|B: 2" into fields.
func split(t testing.TB, text string) []http1.Field {
	t.Helper()
	return lines(t, strings.Split(text, "|")...)
}

var (
	byDefault = Rules{Mode: Default, TTL: time.Minute, MaxBody: 1000}
	byHeaders = Rules{Mode: RFC9111, TTL: time.Minute, MaxBody: 1000}
)

func answer(t testing.TB, status int, fields string) *Answer {
	return &Answer{Status: status, Fields: split(t, fields), Length: 100, Complete: true, Asked: now, Received: now, Date: clock}
}

func get(t testing.TB, fields string) *Wish {
	w := ParseWish(verdict.MethodGet, split(t, fields))
	return &w
}

// stored stores an answer that must be storable.
func stored(t testing.TB, r *Rules, fields string) Meta {
	t.Helper()
	m, reason := r.Storable(get(t, ""), answer(t, 200, fields))
	if reason != Stored {
		t.Fatalf("%s: not stored, reason %d", fields, reason)
	}
	return m
}

func date(after time.Duration) string {
	return clock.Add(after).Format("Mon, 02 Jan 2006 15:04:05 GMT")
}

func TestRFC9111_3_WhatMayBeStored(t *testing.T) {
	for _, tc := range []struct {
		method  verdict.Method
		status  int
		request string
		answer  string
		inMode  [2]Reason // Default, RFC9111
	}{
		// Success and "not there" are fresh by configuration; by headers nothing is.
		{verdict.MethodGet, 200, "", "", [2]Reason{Stored, Useless}},
		{verdict.MethodHead, 200, "", "", [2]Reason{Stored, Useless}},
		{verdict.MethodGet, 201, "", "", [2]Reason{Stored, Useless}},
		{verdict.MethodGet, 202, "", "", [2]Reason{Stored, Useless}},
		{verdict.MethodGet, 204, "", "", [2]Reason{Stored, Useless}},
		{verdict.MethodGet, 404, "", "", [2]Reason{Stored, Useless}},
		{verdict.MethodGet, 200, "", "Cache-Control: max-age=5", [2]Reason{Stored, Stored}},
		{verdict.MethodGet, 200, "", "Cache-Control: s-maxage=5", [2]Reason{Stored, Stored}},
		{verdict.MethodGet, 200, "", "Expires: " + date(time.Minute), [2]Reason{Stored, Stored}},
		{verdict.MethodGet, 200, "", `ETag: "a"`, [2]Reason{Stored, Stored}},
		// A redirect stays only if it says so, or can stand in.
		{verdict.MethodGet, 301, "", "Cache-Control: max-age=5", [2]Reason{Stored, Stored}},
		{verdict.MethodGet, 302, "", "Cache-Control: max-age=5", [2]Reason{Stored, Stored}},
		{verdict.MethodGet, 302, "", "", [2]Reason{WrongStatus, WrongStatus}},
		{verdict.MethodGet, 303, "", `ETag: "a"`, [2]Reason{WrongStatus, WrongStatus}},
		{verdict.MethodGet, 307, "", `ETag: "a"|Cache-Control: public`, [2]Reason{Stored, Stored}},
		// Methods.
		{verdict.MethodPost, 200, "", "Cache-Control: max-age=5", [2]Reason{WrongMethod, WrongMethod}},
		{verdict.MethodPut, 200, "", "Cache-Control: max-age=5", [2]Reason{WrongMethod, WrongMethod}},
		{verdict.MethodDelete, 200, "", "", [2]Reason{WrongMethod, WrongMethod}},
		{verdict.MethodOptions, 200, "", "Cache-Control: max-age=5", [2]Reason{WrongMethod, WrongMethod}},
		{verdict.MethodOther, 200, "", "Cache-Control: max-age=5", [2]Reason{WrongMethod, WrongMethod}},
		// Failures, refusals, challenges and what is no final answer to this question.
		{verdict.MethodGet, 500, "", "Cache-Control: max-age=5", [2]Reason{WrongStatus, WrongStatus}},
		{verdict.MethodGet, 503, "", "", [2]Reason{WrongStatus, WrongStatus}},
		{verdict.MethodGet, 429, "", "Cache-Control: max-age=5", [2]Reason{WrongStatus, WrongStatus}},
		{verdict.MethodGet, 401, "", "Cache-Control: public, max-age=5", [2]Reason{WrongStatus, WrongStatus}},
		{verdict.MethodGet, 403, "", "Cache-Control: max-age=5", [2]Reason{WrongStatus, WrongStatus}},
		{verdict.MethodGet, 400, "", "Cache-Control: max-age=5", [2]Reason{WrongStatus, WrongStatus}},
		{verdict.MethodGet, 304, "", "Cache-Control: max-age=5", [2]Reason{WrongStatus, WrongStatus}},
		{verdict.MethodGet, 299, "", "Cache-Control: max-age=5", [2]Reason{WrongStatus, WrongStatus}},
		{verdict.MethodGet, 100, "", "", [2]Reason{WrongStatus, WrongStatus}},
	} {
		for i, rules := range []Rules{byDefault, byHeaders} {
			w := ParseWish(tc.method, split(t, tc.request))
			if _, reason := rules.Storable(&w, answer(t, tc.status, tc.answer)); reason != tc.inMode[i] {
				t.Errorf("%v %d %q in mode %d: reason %d, want %d", tc.method, tc.status, tc.answer, i, reason, tc.inMode[i])
			}
		}
	}
	off := Rules{Mode: Off, TTL: time.Minute, MaxBody: 1000}
	if _, reason := off.Storable(get(t, ""), answer(t, 200, "Cache-Control: max-age=5")); reason != ModeOff {
		t.Errorf("off: reason %d", reason)
	}
	large := answer(t, 200, "")
	large.Length = 1001
	if _, reason := byDefault.Storable(get(t, ""), large); reason != TooLarge {
		t.Errorf("large: reason %d", reason)
	}
}

func TestRFC9111_3_3_IncompleteAnswersAreNotStored(t *testing.T) {
	cut := answer(t, 200, "Cache-Control: max-age=5")
	cut.Complete = false
	if _, reason := byDefault.Storable(get(t, ""), cut); reason != Incomplete {
		t.Errorf("cut: reason %d", reason)
	}
	if _, reason := byDefault.Storable(get(t, "Range: bytes=0-1"), answer(t, 206, "Cache-Control: max-age=5|Content-Range: bytes 0-1/10")); reason != Incomplete {
		t.Errorf("206: reason %d", reason)
	}
}

func TestRFC9111_5_2_2_DirectivesThatForbidStoring(t *testing.T) {
	for fields, want := range map[string]Reason{
		"Cache-Control: no-store":                             NoStore,
		"Cache-Control: NO-STORE":                             NoStore,
		"Cache-Control: no-store, max-age=60":                 NoStore,
		"Cache-Control: max-age=60|Cache-Control: no-store":   NoStore,
		"Cache-Control: public, no-store":                     NoStore,
		"Cache-Control: private":                              Private,
		"Cache-Control: private, max-age=60":                  Private,
		`Cache-Control: private="x-a, x-b", max-age=60`:       Private,
		"Cache-Control: max-age=60,private":                   Private,
		"Cache-Control: public, private":                      Private,
		`Cache-Control: ext="a, no-store", max-age=60`:        Stored, // an argument is no directive
		`Cache-Control: ext="a\", no-store", max-age=60`:      Stored,
		`Cache-Control: ext="a, no-store`:                     NoStore, // but a broken quote hides nothing
		"Cache-Control: ,, ,no-store":                         NoStore,
		"Cache-Control: no-stores":                            Stored,
		"Cache-Control: no-cache":                             Useless, // nothing to ask with
		"Cache-Control: no-cache|ETag: x":                     Stored,
		"Cache-Control: max-age=0, must-revalidate":           Useless,
		"Cache-Control: max-age=0, must-revalidate|ETag: x":   Stored,
		"Cache-Control: max-age=0":                            Stored, // may stand in for a failed provider
		"Pragma: no-cache":                                    Stored, // §5.4: says nothing in an answer
		"Cache-Control: no-cache=\"set-cookie\", max-age=60":  Useless,
		"Set-Cookie: a=b":                                     SetsCookie,
		"Set-Cookie: a=b|Cache-Control: max-age=60":           SetsCookie,
		"Set-Cookie: a=b|Cache-Control: s-maxage=60":          SetsCookie,
		"Set-Cookie: a=b|Cache-Control: public, max-age=60":   Stored,
		"Set-Cookie: a=b|Cache-Control: public, private":      Private,
		"SET-COOKIE: a=b":                                     SetsCookie,
		"Vary: *":                                             VariesByAll,
		"Vary: Accept, *":                                     VariesByAll,
		"Vary: Accept|Vary: *":                                VariesByAll,
		"Vary: Accept":                                        Stored,
		"Vary: " + strings.Repeat("x,", maxVary+1):            VariesByAll,
		"Vary: " + strings.Repeat("x,", maxVary) + ",, , ,,,": Stored,
	} {
		if _, reason := byDefault.Storable(get(t, ""), answer(t, 200, fields)); reason != want {
			t.Errorf("%q: reason %d, want %d", fields, reason, want)
		}
	}
}

func TestRFC9111_5_2_1_5_RequestNoStore(t *testing.T) {
	for _, fields := range []string{"Cache-Control: no-store", "cache-control: max-age=0, No-Store"} {
		if _, reason := byDefault.Storable(get(t, fields), answer(t, 200, "Cache-Control: max-age=60")); reason != RequestNoStore {
			t.Errorf("%q: reason %d", fields, reason)
		}
	}
}

func TestRFC9111_3_5_Authorization(t *testing.T) {
	for _, request := range []string{"Authorization: Bearer x", "authorization: Basic eA==", "Cookie: session=1"} {
		for fields, want := range map[string]Reason{
			"":                                  NotShared,
			"Cache-Control: max-age=60":         NotShared,
			"Cache-Control: public":             Stored,
			"Cache-Control: s-maxage=60":        Stored,
			"Cache-Control: s-maxage=0":         Useless,
			"Cache-Control: must-revalidate":    Stored,
			"Cache-Control: public, private":    Private,
			"Cache-Control: public, no-store":   NoStore,
			"Cache-Control: public, max-age=60": Stored,
		} {
			if _, reason := byDefault.Storable(get(t, request), answer(t, 200, fields)); reason != want {
				t.Errorf("%q, %q: reason %d, want %d", request, fields, reason, want)
			}
		}
	}
	// Where the provider sees the caller's Authorization, only what is for
	// everyone answers a request that carries one.
	passes := byDefault
	passes.PassAuthorization = true
	for _, rules := range []struct {
		*Rules
		want Reason
	}{{&passes, NotShared}, {&byDefault, Stored}} {
		if _, reason := rules.Storable(get(t, "Authorization: Bearer x"), answer(t, 200, "Cache-Control: public, max-age=60|Vary: Authorization")); reason != rules.want {
			t.Errorf("the answer to one Authorization, seen by the provider %v: reason %d", rules.PassAuthorization, reason)
		}
	}
	for fields, want := range map[string]Use{
		"":                           Questioned,
		"Cache-Control: max-age=60":  Questioned,
		"Cache-Control: public":      Fresh,
		"Cache-Control: s-maxage=60": Fresh,
		"Cache-Control: max-age=60, must-revalidate":              Fresh,
		"Cache-Control: public, max-age=60|Vary: Authorization":   Questioned,
		"Cache-Control: public, max-age=60|Vary: a,authorization": Questioned,
	} {
		m := stored(t, &passes, fields)
		j := passes.Judge(&m, get(t, "Authorization: Bearer x"), now)
		if j.Use != want || j.Fallback != (want == Fresh) {
			t.Errorf("%q: use %d, fallback %v, want %d", fields, j.Use, j.Fallback, want)
		}
		if j := passes.Judge(&m, get(t, ""), now); j.Use != Fresh {
			t.Errorf("%q without Authorization: use %d", fields, j.Use)
		}
		if j := byDefault.Judge(&m, get(t, "Authorization: Bearer x"), now); j.Use != Fresh {
			t.Errorf("%q, hidden from the provider: use %d", fields, j.Use)
		}
	}
}

func TestRFC9111_4_2_1_FreshnessLifetime(t *testing.T) {
	const ttl = 60 // of both rules; given in Default mode only
	for fields, want := range map[string][2]int64{
		"":                              {ttl, 0},
		"Cache-Control: max-age=10":     {10, 10},
		"Cache-Control: max-age=\"10\"": {10, 10},
		"Cache-Control: Max-Age=10":     {10, 10},
		"Cache-Control: max-age=0":      {0, 0},
		"Cache-Control: public":         {ttl, 0},
		// s-maxage, max-age, Expires, in this order.
		"Cache-Control: max-age=10, s-maxage=20":                  {20, 20},
		"Cache-Control: s-maxage=20|Expires: " + date(time.Hour):  {20, 20},
		"Cache-Control: max-age=10|Expires: " + date(time.Hour):   {10, 10},
		"Expires: " + date(time.Hour) + "|Date: " + date(0):       {3600, 3600},
		"Expires: " + date(time.Hour):                             {3600, 3600},
		"Expires: " + date(0) + "|Date: " + date(-30*time.Second): {30, 30},
		"Expires: " + date(-time.Second) + "|Date: " + date(0):    {0, 0},
		"Expires: Sunday, 01-Mar-26 12:00:30 GMT":                 {30, 30},
		"Expires: Sun Mar  1 12:00:30 2026":                       {30, 30},
		// Not a date, not a number, a negative or two different ones: stale.
		"Expires: 0":                 {0, 0},
		"Expires: tomorrow":          {0, 0},
		"Expires:":                   {0, 0},
		"Cache-Control: max-age=":    {0, 0},
		"Cache-Control: max-age":     {0, 0},
		"Cache-Control: max-age=-1":  {0, 0},
		"Cache-Control: max-age=1.5": {0, 0},
		"Cache-Control: max-age=ten|Expires: " + date(time.Hour): {0, 0},
		"Cache-Control: max-age=10, max-age=20":                  {0, 0},
		"Cache-Control: max-age=10|Cache-Control: max-age=20":    {0, 0},
		"Cache-Control: max-age=10, max-age=10":                  {10, 10},
		// As long as can be.
		"Cache-Control: max-age=99999999999999999999999": {maxDelta, maxDelta},
		"Expires: " + date(100*365*24*time.Hour):         {maxDelta, maxDelta},
	} {
		for i, rules := range []Rules{byDefault, byHeaders} {
			// The validator has nothing to do with it, but keeps stale ones storable.
			m := stored(t, &rules, strings.TrimPrefix(fields+"|ETag: \"x\"", "|"))
			if m.Lifetime != want[i]*second {
				t.Errorf("%q in mode %d: %d s, want %d", fields, rules.Mode, m.Lifetime/second, want[i])
			}
		}
	}
}

func TestRFC9111_4_2_3_Age(t *testing.T) {
	for _, tc := range []struct {
		fields string
		delay  int64 // seconds from request to answer
		want   int64
	}{
		{"", 0, 0},
		{"", 3, 3},
		{"Age: 10", 0, 10},
		{"Age: 10", 3, 13},
		{"Age: ten", 3, 3},
		{"Age: -1", 0, 0},
		{"Age: 1, 2", 0, 0},
		{"Date: " + date(-20*time.Second), 0, 20},
		{"Date: " + date(-20*time.Second) + "|Age: 10", 3, 20},
		{"Date: " + date(-5*time.Second) + "|Age: 10", 0, 10},
		{"Date: " + date(time.Hour), 0, 0},
		{"Date: yesterday", 0, 0},
		{"Age: 99999999999999999999999999", 0, maxDelta},
	} {
		a := answer(t, 200, tc.fields)
		a.Asked = now - tc.delay*second
		for _, rules := range []Rules{byDefault, byHeaders} {
			a.Fields = append(split(t, tc.fields), split(t, `ETag: "x"`)...)
			m, reason := rules.Storable(get(t, ""), a)
			if reason != Stored || m.InitialAge != tc.want*second {
				t.Errorf("%q after %d s: age %d s, reason %d, want %d s", tc.fields, tc.delay, m.InitialAge/second, reason, tc.want)
			}
			if j := rules.Judge(&m, get(t, ""), now+7*second); j.Age != (tc.want+7)*second || j.Kept != 7*second {
				t.Errorf("%q, 7 s later: age %d s, kept %d s", tc.fields, j.Age/second, j.Kept/second)
			}
		}
	}
	// A clock that goes back makes no copy younger than new.
	m := stored(t, &byDefault, "")
	if j := byDefault.Judge(&m, get(t, ""), now-second); j.Age != 0 || j.Kept != 0 {
		t.Errorf("%+v", j)
	}
}

// The configured freshness begins when the answer comes, whatever its Date.
func TestConfiguredFreshness(t *testing.T) {
	for _, fields := range []string{"", "Age: 300", "Date: " + date(-time.Hour)} {
		m := stored(t, &byDefault, fields)
		for after, want := range map[int64]Use{0: Fresh, 59: Fresh, 60: Questioned, 61: Questioned} {
			if j := byDefault.Judge(&m, get(t, ""), now+after*second); j.Use != want {
				t.Errorf("%q after %d s: use %d, want %d", fields, after, j.Use, want)
			}
		}
	}
}

func TestRFC9111_4_2_StaleCopiesAreNotUsed(t *testing.T) {
	for fields, freshFor := range map[string]int64{
		"Cache-Control: max-age=10":            10,
		"Cache-Control: max-age=10|Age: 4":     6,
		"Cache-Control: max-age=10|Age: 10":    0,
		"Cache-Control: s-maxage=3,max-age=10": 3,
		"Expires: " + date(20*time.Second):     20,
	} {
		m := stored(t, &byDefault, fields)
		for after := range int64(30) {
			want := Questioned
			if after < freshFor {
				want = Fresh
			}
			if j := byDefault.Judge(&m, get(t, ""), now+after*second); j.Use != want || j.TTL != (freshFor-after)*second {
				t.Errorf("%q after %d s: use %d, ttl %d s", fields, after, j.Use, j.TTL/second)
			}
		}
	}
}

func TestRFC9111_5_2_1_RequestDirectives(t *testing.T) {
	for _, tc := range []struct {
		stored  string
		request string
		after   int64 // seconds
		want    Use
	}{
		{"Cache-Control: max-age=60", "", 30, Fresh},
		// max-age §5.2.1.1
		{"Cache-Control: max-age=60", "Cache-Control: max-age=30", 30, Fresh},
		{"Cache-Control: max-age=60", "Cache-Control: max-age=29", 30, Questioned},
		{"Cache-Control: max-age=60", "Cache-Control: max-age=0", 1, Questioned},
		{"Cache-Control: max-age=60", "Cache-Control: max-age=soon", 1, Questioned},
		{"Cache-Control: max-age=60", "Cache-Control: max-age", 1, Questioned},
		{"Cache-Control: max-age=60", "Cache-Control: max-age=100", 61, Questioned},
		// max-stale §5.2.1.2
		{"Cache-Control: max-age=60", "Cache-Control: max-stale", 1000, Acceptable},
		{"Cache-Control: max-age=60", "Cache-Control: max-stale=10", 70, Acceptable},
		{"Cache-Control: max-age=60", "Cache-Control: max-stale=10", 71, Questioned},
		{"Cache-Control: max-age=60", "Cache-Control: max-stale=lots", 61, Questioned},
		{"Cache-Control: max-age=60", "Cache-Control: max-stale=10, max-age=65", 66, Questioned},
		{"Cache-Control: max-age=60", "Cache-Control: max-stale", 10, Fresh},
		// min-fresh §5.2.1.3
		{"Cache-Control: max-age=60", "Cache-Control: min-fresh=30", 30, Fresh},
		{"Cache-Control: max-age=60", "Cache-Control: min-fresh=31", 30, Questioned},
		{"Cache-Control: max-age=60", "Cache-Control: min-fresh=x", 1, Questioned},
		// no-cache §5.2.1.4
		{"Cache-Control: max-age=60", "Cache-Control: no-cache", 0, Questioned},
		{"Cache-Control: max-age=60, immutable", "Cache-Control: no-cache", 0, Questioned},
		// no-store §5.2.1.5 keeps the answer out, not the copy in.
		{"Cache-Control: max-age=60", "Cache-Control: no-store", 0, Fresh},
		// no-transform and unknown ones do not matter.
		{"Cache-Control: max-age=60", "Cache-Control: no-transform, x=1", 0, Fresh},
		{"Cache-Control: max-age=60", "Pragma: no-cache", 0, Fresh},
	} {
		m := stored(t, &byDefault, tc.stored)
		if j := byDefault.Judge(&m, get(t, tc.request), now+tc.after*second); j.Use != tc.want {
			t.Errorf("%q, %q after %d s: use %d, want %d", tc.stored, tc.request, tc.after, j.Use, tc.want)
		}
	}
}

func TestRFC9111_4_2_4_NoStaleCopyWhereForbidden(t *testing.T) {
	for _, directive := range []string{
		"max-age=60, must-revalidate",  // §5.2.2.2
		"max-age=60, proxy-revalidate", // §5.2.2.8
		"s-maxage=60",                  // §5.2.2.10
		"max-age=60, must-revalidate, stale-while-revalidate=99, stale-if-error=99",
	} {
		m := stored(t, &byDefault, "Cache-Control: "+directive)
		for _, request := range []string{"", "Cache-Control: max-stale", "Cache-Control: stale-if-error=99"} {
			if j := byDefault.Judge(&m, get(t, request), now+59*second); j.Use != Fresh || !j.Fallback {
				t.Errorf("%q, %q while fresh: %+v", directive, request, j)
			}
			if j := byDefault.Judge(&m, get(t, request), now+61*second); j.Use != Questioned || j.Fallback {
				t.Errorf("%q, %q while stale: %+v", directive, request, j)
			}
		}
	}
	m := stored(t, &byDefault, "Cache-Control: no-cache, max-age=60, stale-if-error=99|ETag: x")
	if j := byDefault.Judge(&m, get(t, "Cache-Control: max-stale"), now); j.Use != Questioned || j.Fallback {
		t.Errorf("no-cache: %+v", j)
	}
}

func TestRFC8246_Immutable(t *testing.T) {
	m := stored(t, &byDefault, "Cache-Control: max-age=60, immutable")
	for request, want := range map[string]Use{
		"Cache-Control: max-age=0": Fresh, // a plain reload
		"Cache-Control: max-age=5": Questioned,
		"Cache-Control: no-cache":  Questioned, // a forced one
	} {
		if j := byDefault.Judge(&m, get(t, request), now+10*second); j.Use != want {
			t.Errorf("%q: use %d, want %d", request, j.Use, want)
		}
	}
	if j := byDefault.Judge(&m, get(t, "Cache-Control: max-age=0"), now+60*second); j.Use != Questioned {
		t.Errorf("stale: use %d", j.Use)
	}
}

func TestRFC5861_3_StaleWhileRevalidate(t *testing.T) {
	m := stored(t, &byHeaders, "Cache-Control: max-age=60, stale-while-revalidate=30")
	for after, want := range map[int64]Use{0: Fresh, 59: Fresh, 60: Refreshable, 89: Refreshable, 90: Questioned} {
		if j := byHeaders.Judge(&m, get(t, ""), now+after*second); j.Use != want {
			t.Errorf("after %d s: use %d, want %d", after, j.Use, want)
		}
	}
	if j := byHeaders.Judge(&m, get(t, "Cache-Control: max-age=30"), now+70*second); j.Use != Questioned {
		t.Errorf("the request wants a younger one: use %d", j.Use)
	}
}

func TestRFC5861_4_StaleIfError(t *testing.T) {
	for _, tc := range []struct {
		stored, request string
		until           int64 // the last second at which a copy may stand in
	}{
		// Twice the configured freshness, counted from when it came.
		{"", "", 120},
		{"Cache-Control: max-age=10", "", 120},
		{"Cache-Control: max-age=10|Age: 100", "", 120},
		{"Cache-Control: max-age=0", "", 120},
		// What stale-if-error allows beyond, in the answer or the request.
		{"Cache-Control: max-age=100, stale-if-error=50", "", 150},
		{"Cache-Control: max-age=10, stale-if-error=50", "", 120},
		{"Cache-Control: max-age=100", "Cache-Control: stale-if-error=200", 300},
		// As long as it is fresh anyway.
		{"Cache-Control: max-age=500", "", 499},
		// Whatever the request would have liked better.
		{"", "Cache-Control: no-cache", 120},
		{"", "Cache-Control: max-age=1, min-fresh=500", 120},
	} {
		m := stored(t, &byDefault, tc.stored)
		for after, want := range map[int64]bool{0: true, tc.until: true, tc.until + 1: false} {
			if j := byDefault.Judge(&m, get(t, tc.request), now+after*second); j.Fallback != want {
				t.Errorf("%q, %q after %d s: fallback %v", tc.stored, tc.request, after, j.Fallback)
			}
		}
	}
}

func TestRFC9111_4_3_2_ConditionalRequests(t *testing.T) {
	lastModified := "Last-Modified: " + date(-time.Hour)
	for _, tc := range []struct {
		request, stored string
		status          int
		want            bool
	}{
		{"", `ETag: "a"`, 200, false},
		// If-None-Match: weak comparison (RFC 9110 §13.1.2).
		{`If-None-Match: "a"`, `ETag: "a"`, 200, true},
		{`If-None-Match: W/"a"`, `ETag: "a"`, 200, true},
		{`If-None-Match: "a"`, `ETag: W/"a"`, 200, true},
		{`If-None-Match: "b"`, `ETag: "a"`, 200, false},
		{`If-None-Match: "b", W/"a"`, `ETag: "a"`, 200, true},
		{`If-None-Match: "b, a", "c"`, `ETag: "a"`, 200, false},
		{`If-None-Match: "x,a"`, `ETag: "x,a"`, 200, true},
		{`If-None-Match: *`, `ETag: "a"`, 200, true},
		{`If-None-Match: *`, ``, 200, true},
		{`If-None-Match: "a"`, ``, 200, false},
		{`If-None-Match: a`, `ETag: a`, 200, false},
		{`If-None-Match: "a`, `ETag: "a`, 200, false},
		{`If-None-Match: ""`, `ETag: ""`, 200, true},
		{`If-None-Match: "b"|If-None-Match: "a"`, `ETag: "a"`, 200, false}, // two lines: the whole answer is never wrong
		// If-Modified-Since, if there is no If-None-Match (§13.1.3).
		{"If-Modified-Since: " + date(-time.Hour), lastModified, 200, true},
		{"If-Modified-Since: " + date(0), lastModified, 200, true},
		{"If-Modified-Since: " + date(-2*time.Hour), lastModified, 200, false},
		{"If-Modified-Since: yesterday", lastModified, 200, false},
		{"If-Modified-Since: " + date(0), "", 200, false},
		{`If-None-Match: "b"|If-Modified-Since: ` + date(0), `ETag: "a"|` + lastModified, 200, false},
		{"If-Modified-Since: " + date(0), lastModified, 404, false},
		// A precondition of what is no success is ignored (§13.2.1).
		{`If-None-Match: "a"`, `ETag: "a"`, 404, false},
		{`If-None-Match: *`, ``, 301, false},
	} {
		if got := get(t, tc.request).NotModified(tc.status, split(t, tc.stored)); got != tc.want {
			t.Errorf("%q, %q, %d: %v", tc.request, tc.stored, tc.status, got)
		}
	}
}

func TestRFC9110_15_4_5_FieldsOf304(t *testing.T) {
	for name, want := range map[string]bool{
		"Cache-Control": true, "Content-Location": true, "Date": true, "ETag": true, "Expires": true, "Vary": true,
		"X-Other": true, "Access-Control-Allow-Origin": true, "Content-Type": false, "Content-Encoding": false,
		"Content-Length": false, "Last-Modified": false, "content-range": false, "Link": true,
	} {
		if In304([]byte(name)) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}

func TestRFC9111_4_3_1_RevalidationRequest(t *testing.T) {
	for _, tc := range []struct{ request, stored, want string }{
		{"Accept: a", `ETag: "x"`, `Accept=a|If-None-Match="x"`},
		{`If-None-Match: "mine"|Accept: a|If-Modified-Since: x|Range: bytes=0-1|If-Range: "a"`, `ETag: "x"|Last-Modified: d`,
			`Accept=a|If-None-Match="x"|If-Modified-Since=d`},
		{"Accept: a", "Last-Modified: d", "Accept=a|If-Modified-Since=d"},
		{"Accept: a", "", "Accept=a"},
	} {
		if got := text(AppendConditions(nil, split(t, tc.request), split(t, tc.stored))); got != tc.want {
			t.Errorf("%q, %q: %q, want %q", tc.request, tc.stored, got, tc.want)
		}
	}
}

func text(fields []http1.Field) string {
	var out []string
	for _, f := range fields {
		out = append(out, string(f.Name)+"="+string(f.Value))
	}
	return strings.Join(out, "|")
}

func TestRFC9111_4_3_4_WhichCopyA304Confirms(t *testing.T) {
	for _, tc := range []struct {
		stored, answer string
		want           bool
	}{
		{`ETag: "a"`, `ETag: "a"`, true},
		{`ETag: "a"`, `ETag: "b"`, false},
		{`ETag: "a"`, `ETag: W/"a"`, true},
		{`ETag: W/"a"`, `ETag: W/"a"`, true},
		{`ETag: W/"a"`, `ETag: W/"b"`, false},
		{``, `ETag: "b"`, false},
		{`Last-Modified: a`, `Last-Modified: a`, true},
		{`Last-Modified: a`, `Last-Modified: b`, false},
		{`ETag: "a"`, ``, true},
	} {
		if got := Confirms(split(t, tc.stored), split(t, tc.answer)); got != tc.want {
			t.Errorf("%q, %q: %v", tc.stored, tc.answer, got)
		}
	}
}

func TestRFC9111_3_2_HeaderUpdate(t *testing.T) {
	old := `ETag: "a"|Content-Type: text/plain|X-A: 1|X-A: 2|X-B: 3|Cache-Control: max-age=1|Content-Encoding: gzip`
	got := text(Update(nil, split(t, old), split(t, "x-a: 4|Cache-Control: max-age=60|Content-Type: no|content-length: 7|Content-Encoding: br|X-C: 5")))
	if want := `ETag="a"|Content-Type=text/plain|X-B=3|Content-Encoding=gzip|x-a=4|Cache-Control=max-age=60|X-C=5`; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	m := stored(t, &byDefault, old)
	later := Answer{Status: 304, Asked: now + 99*second, Received: now + 100*second, Date: clock.Add(100 * time.Second)}
	// The 304's Age and Date count; without a Date it is of when it came.
	later.Fields = split(t, "Age: 30")
	if m, ok := byDefault.Refresh(&m, get(t, ""), later, split(t, `ETag: "a"|Date: `+date(0)+`|Cache-Control: max-age=60`), 100); !ok || m.InitialAge != 31*second {
		t.Errorf("a 304 with an age: %+v, %v", m, ok)
	}
	later.Fields = nil
	fresh, ok := byDefault.Refresh(&m, get(t, ""), later, split(t, `ETag: "a"|Date: `+date(0)+`|Cache-Control: max-age=60`), 100)
	if !ok || fresh.Status != 200 || fresh.Stored != now+100*second || fresh.InitialAge != second || fresh.Lifetime != 60*second {
		t.Errorf("%+v, %v", fresh, ok)
	}
	if _, ok := byDefault.Refresh(&m, get(t, ""), later, split(t, `Cache-Control: no-store`), 100); ok {
		t.Error("the 304 forbids to keep it")
	}
}

func TestRFC9111_4_4_UnsafeMethodsInvalidate(t *testing.T) {
	for method, unsafe := range map[verdict.Method]bool{
		verdict.MethodGet: false, verdict.MethodHead: false, verdict.MethodOptions: false, verdict.MethodPost: true,
		verdict.MethodPut: true, verdict.MethodPatch: true, verdict.MethodDelete: true, verdict.MethodOther: true,
	} {
		for status, succeeded := range map[int]bool{200: true, 204: true, 302: true, 399: true, 400: false, 404: false, 500: false} {
			if got := Unsafe(method, status); got != (unsafe && succeeded) {
				t.Errorf("%v %d: %v", method, status, got)
			}
		}
	}
}

func TestRFC9110_14_Ranges(t *testing.T) {
	const size = 100
	old := `ETag: "a"|Date: ` + date(0) + "|Last-Modified: " + date(-time.Hour)
	for _, tc := range []struct {
		request    string
		part       Part
		first, end int64
	}{
		{"", Whole, 0, size},
		{"Range: bytes=0-9", Partial, 0, 10},
		{"Range: bytes=0-0", Partial, 0, 1},
		{"Range: bytes=90-", Partial, 90, size},
		{"Range: bytes=90-1000", Partial, 90, size},
		{"Range: bytes=90-99999999999999999999999999", Partial, 90, size},
		{"Range: bytes=-10", Partial, 90, size},
		{"Range: bytes=-1000", Partial, 0, size},
		{"Range: bytes= 0-9 ", Partial, 0, 10},
		{"Range: bytes=100-", Unsatisfiable, 0, 0},
		{"Range: bytes=99999999999999999999999999-", Unsatisfiable, 0, 0},
		{"Range: bytes=-0", Unsatisfiable, 0, 0},
		// Ignored: several, malformed, other units.
		{"Range: bytes=0-1,5-6", Whole, 0, size},
		{"Range: bytes=9-0", Whole, 0, size},
		{"Range: bytes=a-b", Whole, 0, size},
		{"Range: bytes=-", Whole, 0, size},
		{"Range: bytes=5", Whole, 0, size},
		{"Range: bytes=0-1-2", Whole, 0, size},
		{"Range: items=0-9", Whole, 0, size},
		{"Range:", Whole, 0, size},
		// If-Range §13.1.5: strong comparison.
		{`Range: bytes=0-9|If-Range: "a"`, Partial, 0, 10},
		{`Range: bytes=0-9|If-Range: "b"`, Whole, 0, size},
		{`Range: bytes=0-9|If-Range: W/"a"`, Whole, 0, size},
		{"Range: bytes=0-9|If-Range: " + date(-time.Hour), Partial, 0, 10},
		{"Range: bytes=0-9|If-Range: " + date(0), Whole, 0, size},
	} {
		part, first, end := get(t, tc.request).Cut(200, split(t, old), size)
		if part != tc.part || first != tc.first || end != tc.end {
			t.Errorf("%q: %d, %d-%d; want %d, %d-%d", tc.request, part, first, end, tc.part, tc.first, tc.end)
		}
	}
	if part, _, _ := get(t, "Range: bytes=0-1").Cut(404, nil, size); part != Whole {
		t.Error("a part of an error")
	}
	if part, _, _ := get(t, "Range: bytes=0-").Cut(200, nil, 0); part != Unsatisfiable {
		t.Error("a part of nothing")
	}
	head := ParseWish(verdict.MethodHead, split(t, "Range: bytes=0-1"))
	if part, _, _ := head.Cut(200, nil, size); part != Whole {
		t.Error("HEAD: Range is defined for GET")
	}
	for want, got := range map[string][]byte{
		"bytes 0-9/100": AppendContentRange(nil, 0, 10, 100),
		"bytes */100":   AppendContentRange(nil, 0, 0, 100),
	} {
		if string(got) != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestWhatIsLeftAlone(t *testing.T) {
	for _, tc := range []struct {
		method               verdict.Method
		fields               string
		hasBody              bool
		cacheable, mergeable bool
	}{
		{verdict.MethodGet, "", false, true, true},
		{verdict.MethodHead, "", false, true, true},
		{verdict.MethodGet, "", true, false, true}, // fat GET
		{verdict.MethodPost, "", false, false, true},
		{verdict.MethodGet, `If-Match: "a"`, false, false, true},
		{verdict.MethodGet, "If-Unmodified-Since: x", false, false, true},
		{verdict.MethodGet, "Range: bytes=0-1", false, true, false},
		{verdict.MethodGet, `If-None-Match: "a"`, false, true, false},
		{verdict.MethodGet, "If-Modified-Since: x", false, true, false},
		{verdict.MethodGet, "Authorization: x", false, true, false},
		{verdict.MethodGet, "Cookie: x", false, true, false},
		{verdict.MethodGet, "Cache-Control: no-store", false, true, false},
		{verdict.MethodGet, "Cache-Control: no-cache", false, true, false},
		{verdict.MethodGet, "Cache-Control: only-if-cached", false, true, false},
		{verdict.MethodGet, "Cache-Control: max-age=5", false, true, false},
		{verdict.MethodGet, "Cache-Control: max-stale", false, true, true},
	} {
		w := ParseWish(tc.method, split(t, tc.fields))
		if w.Cacheable(tc.hasBody) != tc.cacheable || w.Mergeable() != tc.mergeable {
			t.Errorf("%v %q: cacheable %v, mergeable %v", tc.method, tc.fields, w.Cacheable(tc.hasBody), w.Mergeable())
		}
	}
}

func TestKeepUntil(t *testing.T) {
	for fields, want := range map[string]int64{
		"": 120, "Cache-Control: max-age=500": 500, "Cache-Control: max-age=500|Age: 100": 400,
		"Cache-Control: max-age=100, stale-if-error=100": 200, "Cache-Control: max-age=100, stale-while-revalidate=50": 150,
		"Cache-Control: max-age=10, must-revalidate": 10, `ETag: "a"`: 3600, `Cache-Control: no-cache|ETag: "a"`: 3600,
	} {
		m := stored(t, &byDefault, fields)
		if got := byDefault.KeepUntil(&m, split(t, fields)); got != now+want*second {
			t.Errorf("%q: %d s, want %d", fields, (got-now)/second, want)
		}
	}
}
