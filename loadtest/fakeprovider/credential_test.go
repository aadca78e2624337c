package fakeprovider

import (
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// Which provider a request is for, whether its credential is right, and which
// status it gets.
func TestLocateAndAuthorize(t *testing.T) {
	const cg = "X-Cg-Pro-Api-Key"
	for _, tt := range []struct {
		path     string
		headers  []string
		provider Provider
		status   int
		recorded string // "" = path
	}{
		// Mount prefixes decide, whatever the rest looks like.
		{"/zerion/test", []string{"Authorization", demoBasic}, Zerion, 200, ""},
		{"/coingecko/test", []string{cg, DemoCoinGeckoKey}, CoinGecko, 200, ""},
		{"/alchemy/v2/" + DemoAlchemyKey + "/test", nil, Alchemy, 200, "/alchemy/v2/***/test"},
		{"/zerion/api/v3/ping", []string{"Authorization", demoBasic}, Zerion, 404, ""},
		// Without one, path and credential tell.
		{"/v2/" + DemoAlchemyKey + "/test", nil, Alchemy, 200, "/v2/***/test"},
		{"/test", []string{cg, DemoCoinGeckoKey}, CoinGecko, 200, ""},
		{"/api/v3/ping", []string{cg, DemoCoinGeckoKey}, CoinGecko, 200, ""},
		{"/test", []string{"Authorization", demoBasic}, Zerion, 200, ""},
		{"/v1/wallets/0xabc/portfolio", []string{"Authorization", demoBasic}, Zerion, 200, ""},
		// No sign of a provider: auth type none, served without a check.
		{"/test", nil, Unknown, 200, ""},
		{"/zerionx/test", nil, Unknown, 404, ""},
		{"/", nil, Unknown, 404, ""},
		// Missing credentials.
		{"/zerion/test", nil, Zerion, 401, ""},
		{"/zerion", nil, Zerion, 401, ""},
		{"/v1/wallets/0xabc/portfolio", nil, Zerion, 401, ""},
		{"/api/v3/ping", nil, CoinGecko, 401, ""},
		{"/alchemy", nil, Alchemy, 401, ""},
		{"/alchemy/test", nil, Alchemy, 401, ""},
		{"/v2/", nil, Alchemy, 401, "/v2/***"},
		// Wrong ones: another key, a password, the scheme, twice, encoded in the path.
		{"/zerion/test", []string{"Authorization", "Basic d3Jvbmc6"}, Zerion, 401, ""},
		{"/zerion/test", []string{"Authorization", "Basic ZGVtby16ZXJpb24ta2V5OnB3"}, Zerion, 401, ""},
		{"/zerion/test", []string{"Authorization", "Bearer " + DemoZerionKey}, Zerion, 401, ""},
		{"/zerion/test", []string{"Authorization", demoBasic, "Authorization", demoBasic}, Zerion, 401, ""},
		{"/coingecko/test", []string{cg, DemoCoinGeckoKey, cg, "mine"}, CoinGecko, 401, ""},
		{"/alchemy/v2/wrong-secret/test", nil, Alchemy, 401, "/alchemy/v2/***/test"},
		{"/v2/wrong-secret", nil, Alchemy, 401, "/v2/***"},
		// The key's segment is masked even if it is percent-encoded.
		{"/v2/demo%2Dalchemy-key/test", nil, Alchemy, 200, "/v2/***/test"},
		{"/%762/demo-alchemy-key/test", nil, Alchemy, 200, "/%762/***/test"},
		// What was sent is recorded byte by byte.
		{"/%7A/a%2Fb//c;d", nil, Unknown, 404, ""},
	} {
		s := New(Options{})
		r := httptest.NewRequest("GET", tt.path, nil)
		for i := 0; i < len(tt.headers); i += 2 {
			r.Header.Add(tt.headers[i], tt.headers[i+1])
		}
		w := ask(s, r)
		list := s.Arrivals(tt.provider)
		if len(list) != 1 {
			t.Errorf("%s %v: not an arrival of %v", tt.path, tt.headers, tt.provider)
			continue
		}
		recorded := tt.recorded
		if recorded == "" {
			recorded = tt.path
		}
		a, authorized := list[0], tt.status != 401
		if w.Code != tt.status || a.Status != tt.status || a.Authorized != authorized || a.Path != recorded {
			t.Errorf("%s %v: %d, %+v; want %d, path %s", tt.path, tt.headers, w.Code, a, tt.status, recorded)
		}
		st := s.Stats(tt.provider)
		if got := st.Unauthorized == 1; got == authorized || st.Authorized+st.Unauthorized != 1 {
			t.Errorf("%s %v: authorized %d, unauthorized %d", tt.path, tt.headers, st.Authorized, st.Unauthorized)
		}
	}
}

func TestOptionsKeys(t *testing.T) {
	s := New(Options{ZerionKey: "own-key-1", CoinGeckoKey: "own-key-2", AlchemyKey: "own-key-3"})
	r := httptest.NewRequest("GET", "/zerion/test", nil)
	r.SetBasicAuth("own-key-1", "")
	r2 := httptest.NewRequest("GET", "/coingecko/test", nil)
	r2.Header.Set("x-cg-pro-api-key", "own-key-2")
	if a, b, c := ask(s, r).Code, ask(s, r2).Code, get(s, "/v2/own-key-3/test").Code; a != 200 || b != 200 || c != 200 {
		t.Errorf("own keys: %d %d %d", a, b, c)
	}
	if w := get(s, "/v2/"+DemoAlchemyKey+"/test"); w.Code != 401 {
		t.Errorf("demo key beside an own one: %d", w.Code)
	}
}

func TestLeaks(t *testing.T) {
	const alchemy = "/v2/" + DemoAlchemyKey
	for _, tt := range []struct {
		path    string
		headers []string
		leaks   string
	}{
		// What a proxy may send.
		{"/zerion/test?a=b", []string{"Authorization", demoBasic, "Accept", "*/*", "Connection", "keep-alive"}, ""},
		{alchemy, []string{"Connection", "close", "X-Proxy-Admitted-At", "1"}, ""},
		// Two credentials where one belongs.
		{"/zerion/test", []string{"Authorization", demoBasic, "Authorization", "Bearer x"}, "Authorization"},
		// A credential of another provider, in its own place or in another.
		{"/zerion/test", []string{"Authorization", demoBasic, "X-Cg-Pro-Api-Key", "x"}, "x-cg-pro-api-key"},
		{alchemy, []string{"Authorization", "Bearer client"}, "Authorization"},
		{"/test", []string{"Authorization", "Bearer client"}, "Authorization"},
		{"/test", []string{"X-Other", "a " + DemoCoinGeckoKey}, "key in header"},
		{"/test", []string{"X-Other", strings.TrimPrefix(demoBasic, "Basic ")}, "key in header"},
		{"/zerion/" + DemoCoinGeckoKey, nil, "key in path"},
		{alchemy + "/v2/" + DemoAlchemyKey, nil, "key in path"},
		{"/zerion/test?key=" + DemoZerionKey, nil, "key in query"},
		{alchemy + "?key=demo%2Dalchemy%2Dkey", nil, "key in query"},
		{"/test?broken=%zz&key=" + DemoZerionKey, nil, "key in query"},
		// What a client sent and the proxy should have removed.
		{"/test", []string{"Cookie", "a=b"}, "Cookie"},
		{"/test", []string{"Origin", "https://example.com", "Referer", "https://example.com/"}, "Origin Referer"},
		{"/test", []string{"X-Forwarded-For", "192.0.2.1", "Forwarded", "for=192.0.2.1"}, "Forwarded X-Forwarded-For"},
		{"/test", []string{"X-Forwarded-Prefix", "/x", "X-Real-Ip", "192.0.2.1"}, "X-Real-IP X-Forwarded-*"},
		{"/test", []string{"Via", "1.1 x", "X-Request-Id", "1"}, "Via X-Request-ID"},
		{"/test", []string{"X_real_ip", "192.0.2.1"}, "name_with_underscore"},
		// Hop-by-hop.
		{"/test", []string{"Connection", "close, X-Secret"}, "Connection"},
		{"/test", []string{"Te", "trailers", "Keep-Alive", "300", "Upgrade", "h2c"}, "Keep-Alive TE Upgrade"},
		{"/test", []string{"Proxy-Authorization", "x", "Proxy-Connection", "x"}, "Proxy-Authorization Proxy-Connection"},
	} {
		s := New(Options{})
		r := httptest.NewRequest("GET", tt.path, nil)
		for i := 0; i < len(tt.headers); i += 2 {
			r.Header[tt.headers[i]] = append(r.Header[tt.headers[i]], tt.headers[i+1])
		}
		p := locate(r).provider
		ask(s, r)
		if got := strings.Join(s.Arrivals(p)[0].Leaks, " "); got != tt.leaks {
			t.Errorf("%s %v: leaks %q, want %q", tt.path, tt.headers, got, tt.leaks)
		}
		for _, name := range s.Arrivals(p)[0].Leaks {
			if s.Stats(p).Leaks[name] != 1 {
				t.Errorf("%s %v: Stats.Leaks = %v", tt.path, tt.headers, s.Stats(p).Leaks)
			}
		}
		if tt.leaks == "" && len(s.Stats(p).Leaks) != 0 {
			t.Errorf("%s %v: Stats.Leaks = %v, want none", tt.path, tt.headers, s.Stats(p).Leaks)
		}
	}
}

func TestLeakNamesFitTheirSet(t *testing.T) {
	if len(leakNames) > 32 {
		t.Fatalf("%d leak names do not fit into 32 bits", len(leakNames))
	}
	if len(leakIndex) != len(leakNames) {
		t.Error("two leak names have the same canonical form")
	}
}

func TestParseProvider(t *testing.T) {
	for p := range Provider(numProviders) {
		if got, err := ParseProvider(p.String()); got != p || err != nil {
			t.Errorf("ParseProvider(%q) = %v, %v", p.String(), got, err)
		}
	}
	for _, name := range []string{"", "Zerion", "zerion ", "invalid"} {
		if _, err := ParseProvider(name); err == nil {
			t.Errorf("ParseProvider(%q) succeeded", name)
		}
	}
	if s := Provider(200).String(); slices.Contains(providerNames[:], s) {
		t.Errorf("Provider(200) is called %q", s)
	}
}
