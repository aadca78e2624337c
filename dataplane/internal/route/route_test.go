package route

import "testing"

func TestMatch(t *testing.T) {
	table := New(map[string]string{
		"/alchemy/":     "alchemy",
		"/alchemy/nft/": "nft",
		"/al/":          "al",
		"/api/zerion":   "zerion", // a prefix need not end in a slash
	})
	for _, tc := range []struct {
		path, plan, rest string
		ok               bool
	}{
		// With and without the slash nothing follows.
		{"/alchemy", "alchemy", "", true},
		{"/alchemy/", "alchemy", "", true},
		// What follows begins with its slash and is not changed.
		{"/alchemy/x", "alchemy", "/x", true},
		{"/alchemy/x/", "alchemy", "/x/", true},
		{"/alchemy//x", "alchemy", "//x", true},
		{"/alchemy/%2f", "alchemy", "/%2f", true},
		// The longest prefix wins, whole segments only.
		{"/alchemy/nft", "nft", "", true},
		{"/alchemy/nft/", "nft", "", true},
		{"/alchemy/nft/x", "nft", "/x", true},
		{"/alchemy/nftx", "alchemy", "/nftx", true},
		{"/al/chemy", "al", "/chemy", true},
		{"/api/zerion/v1", "zerion", "/v1", true},

		// Part of a segment is no match, nor is part of a prefix.
		{"/alchemyx", "", "", false},
		{"/alchemy%2fx", "", "", false},
		{"/alchemy\\x", "", "", false},
		{"/alchemy;x", "", "", false},
		{"/alchem", "", "", false},
		{"/api", "", "", false},
		{"/api/", "", "", false},
		// Bytes are compared: neither case nor escapes nor slashes are folded.
		{"/Alchemy/x", "", "", false},
		{"/%61lchemy/x", "", "", false},
		{"//alchemy/x", "", "", false},
		{"/", "", "", false},
		{"", "", "", false},
	} {
		plan, rest, ok := table.Match([]byte(tc.path))
		if plan != tc.plan || string(rest) != tc.rest || ok != tc.ok {
			t.Errorf("Match(%q) = %q, %q, %v; want %q, %q, %v", tc.path, plan, rest, ok, tc.plan, tc.rest, tc.ok)
		}
	}
}

func TestEmptyTable(t *testing.T) {
	if _, _, ok := New(map[string]int{}).Match([]byte("/x")); ok {
		t.Error("an empty table has a match")
	}
}
