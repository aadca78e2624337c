package cache

import (
	"testing"
	"time"
)

// How long a result of a call is fresh, and whether those who asked the same
// meanwhile may have the answer if it is an error.
func TestStorableCall(t *testing.T) {
	const ttl = 2 * time.Second
	for _, tc := range []struct {
		mode    Mode
		request string
		answer  string
		fresh   time.Duration // 0 = is not, -1 = is not stored
		shared  bool
	}{
		{Default, "", "", ttl, true},
		{Default, "", "Cache-Control: max-age=1", time.Second, true},
		{Default, "", "Cache-Control: max-age=3600", ttl, true},
		{Default, "", "Cache-Control: max-age=3600, stale-while-revalidate=60", ttl, true},
		{Default, "", "Cache-Control: max-age=0", 0, false},
		{Default, "", "Cache-Control: no-cache", -1, false},
		{Default, "", "Cache-Control: no-store", -1, false},
		{Default, "", "Cache-Control: private", -1, false},
		{Default, "", "Set-Cookie: a=b", -1, false},
		{Default, "", "Vary: *", -1, false},
		{Default, "Cache-Control: no-store", "", -1, false},
		{Default, "Authorization: x", "", -1, false},
		{Default, "Authorization: x", "Cache-Control: public", ttl, true},
		{RFC9111, "", "", -1, false},
		{RFC9111, "", "Cache-Control: max-age=3600", ttl, true},
		{Off, "", "", -1, false},
	} {
		r := Rules{Mode: tc.mode, TTL: time.Minute, MaxBody: 100}
		w, a := get(t, tc.request), answer(t, 200, tc.answer)
		m, reason := r.StorableCall(w, a, ttl)
		if (reason == Stored) != (tc.fresh >= 0) || reason == Stored && m.Lifetime != int64(tc.fresh) || m.WhileRevalidate != 0 {
			t.Errorf("%d %q %q: reason %d, %+v", tc.mode, tc.request, tc.answer, reason, m)
		}
		a.Status, a.Length = 429, 1000
		if got := r.Sharable(w, a, ttl); got != tc.shared {
			t.Errorf("%d %q %q: shared %v", tc.mode, tc.request, tc.answer, got)
		}
	}
}

// An answer of several copies is as good as the worst of them.
func TestJudgementOfSeveralCopies(t *testing.T) {
	a := Judgement{Use: Fresh, Age: 1, Kept: 4, TTL: 9, Fallback: true}
	b := Judgement{Use: Questioned, Age: 3, Kept: 2, TTL: -1, Fallback: true}
	if got, want := a.And(b), (Judgement{Use: Questioned, Age: 3, Kept: 4, TTL: -1, Fallback: true}); got != want || b.And(a) != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if b.Fallback = false; a.And(b).Fallback || b.And(a).Fallback {
		t.Error("a copy that must not stand in does")
	}
}

func TestFieldsOfCalls(t *testing.T) {
	if got := DropValidators(split(t, "ETag: x|A: 1|Last-Modified: y|digest: z|Content-Type: t|Content-MD5: 1")); len(got) != 2 || string(got[0].Name) != "A" || string(got[1].Name) != "Content-Type" {
		t.Errorf("%q", got)
	}
	if got := AppendPlain(nil, split(t, "accept-encoding: gzip|A: 1|Accept-Encoding: br")); len(got) != 2 || string(got[0].Name) != "A" || string(got[1].Value) != "identity" {
		t.Errorf("%q", got)
	}
}

// Keys of calls are keys like any other: provider and target come first.
func TestKeysOfCalls(t *testing.T) {
	k := Key{Provider: "p", Path: []byte("/p/x"), Query: []byte("a=b"), Fields: split(t, "Accept: x")}
	key := k.AppendFields(append(k.AppendCalls(nil), "eth_call\x00[]\x00"...))
	if want := "p\x00/p/x?a=b\x003\x00eth_call\x00[]\x00accept:x\x00"; string(key) != want {
		t.Errorf("%q, want %q", key, want)
	}
	if provider, target := Target(key); string(provider) != "p" || string(target) != "/p/x?a=b" {
		t.Errorf("%q %q", provider, target)
	}
}
