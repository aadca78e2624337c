package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestIdentityIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "when", "missing")
	first, err := identify("", dir)
	if err != nil || !validNodeID.MatchString(first) {
		t.Fatalf("%q %v", first, err)
	}
	if again, err := identify("", dir); again != first || err != nil {
		t.Errorf("after a restart: %q %v, want %q", again, err, first)
	}
	if other, err := identify("", t.TempDir()); other == first || err != nil {
		t.Errorf("another folder: %q %v", other, err)
	}
	if given, err := identify("given", dir); given != "given" || err != nil {
		t.Errorf("a configured id: %q %v", given, err)
	}
}

func TestIdentityErrors(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "two lines": "a\nb\n", "spaces": "a b", "long": strings.Repeat("a", 65)} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "node-id"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := identify("", dir); err == nil || !strings.Contains(err.Error(), "delete it or set --node-id") {
			t.Errorf("%s: %v", name, err)
		}
	}
	unreadable := t.TempDir()
	if err := os.Mkdir(filepath.Join(unreadable, "node-id"), 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{"unreadable": unreadable, "a file": file, "below a file": filepath.Join(file, "x"), "no name": ""} {
		if _, err := identify("", dir); err == nil || !strings.Contains(err.Error(), "check --data-dir") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := os.Stat("node-id"); err == nil {
		t.Error("an id was left in the working folder")
	}
}

func TestNodeID(t *testing.T) {
	for given, want := range map[string]string{
		"node_1-A": "node_1-A", "a.example.com": "a-example-com", strings.Repeat("a", 64): strings.Repeat("a", 64),
		"a b": "", "ä": "", "a/b": "", "a\n": "", strings.Repeat("a", 65): "",
	} {
		o := DefaultOptions()
		o.NodeID = given
		err := o.validate()
		if want == "" && (err == nil || !strings.Contains(err.Error(), "--node-id")) || want != "" && (err != nil || o.NodeID != want) {
			t.Errorf("%q: %q %v", given, o.NodeID, err)
		}
	}
}
