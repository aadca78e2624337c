package cli

import (
	"errors"
	"flag"
	"io"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

type settings struct {
	listen         string
	wait           time.Duration
	debug, version bool
	secret         string
}

func newFlags(s *settings) *flag.FlagSet {
	fs := flag.NewFlagSet("program", flag.ContinueOnError)
	fs.StringVar(&s.listen, "listen", ":8080", "`ADDR` to listen on")
	fs.DurationVar(&s.wait, "drain-delay", 5*time.Second, "`TIME` to wait")
	fs.BoolVar(&s.debug, "debug-admitted-at", false, "measure")
	fs.BoolVar(&s.version, "version", false, "print the version and exit")
	fs.Func("token", "`TOKEN`, never shown", func(text string) error {
		if s.secret = text; strings.Contains(text, "canary") {
			return errors.New("too short")
		}
		return nil
	})
	return fs
}

func TestParse(t *testing.T) {
	for name, row := range map[string]struct {
		args string
		env  map[string]string
		want settings
	}{
		"defaults":              {"", nil, settings{listen: ":8080", wait: 5 * time.Second}},
		"flags":                 {"--listen :1 -drain-delay=2s --debug-admitted-at", nil, settings{listen: ":1", wait: 2 * time.Second, debug: true}},
		"environment":           {"", map[string]string{"APIPROXY_LISTEN": ":1", "APIPROXY_DRAIN_DELAY": "2s", "APIPROXY_DEBUG_ADMITTED_AT": "true"}, settings{listen: ":1", wait: 2 * time.Second, debug: true}},
		"the flag wins":         {"--listen :1", map[string]string{"APIPROXY_LISTEN": ":2"}, settings{listen: ":1", wait: 5 * time.Second}},
		"even with the default": {"--listen :8080", map[string]string{"APIPROXY_LISTEN": ":2"}, settings{listen: ":8080", wait: 5 * time.Second}},
		// What the flag overrides is not even looked at.
		"over a bad variable": {"--drain-delay 1s", map[string]string{"APIPROXY_DRAIN_DELAY": "soon"}, settings{listen: ":8080", wait: time.Second}},
		// Compose sets a variable that the operator left out to nothing.
		"an empty variable":            {"", map[string]string{"APIPROXY_DRAIN_DELAY": "", "APIPROXY_LISTEN": ""}, settings{listen: ":8080", wait: 5 * time.Second}},
		"another program's variable":   {"", map[string]string{"LISTEN": ":1", "APIPROXY_LISTENER": ":2"}, settings{listen: ":8080", wait: 5 * time.Second}},
		"an action has no variable":    {"", map[string]string{"APIPROXY_VERSION": "true"}, settings{listen: ":8080", wait: 5 * time.Second}},
		"nor is a bad one looked at":   {"", map[string]string{"APIPROXY_VERSION": "v1.2.3"}, settings{listen: ":8080", wait: 5 * time.Second}},
		"an action is still a flag":    {"--version", nil, settings{listen: ":8080", wait: 5 * time.Second, version: true}},
		"help's name is not an action": {"", map[string]string{"APIPROXY_HELP": "true"}, settings{listen: ":8080", wait: 5 * time.Second}},
	} {
		var got settings
		err := Parse(newFlags(&got), strings.Fields(row.args), lookupIn(row.env), "version", "check")
		if err != nil || got != row.want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, row.want)
		}
	}
}

func lookupIn(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}
}

func TestParseErrors(t *testing.T) {
	for name, row := range map[string]struct {
		args string
		env  map[string]string
		want string // in the error
	}{
		"a bad variable":          {"", map[string]string{"APIPROXY_DRAIN_DELAY": "soon"}, "APIPROXY_DRAIN_DELAY"},
		"and where to look":       {"", map[string]string{"APIPROXY_DRAIN_DELAY": "soon"}, "--drain-delay"},
		"a bad one without value": {"", map[string]string{"APIPROXY_TOKEN": "canary"}, "APIPROXY_TOKEN"},
		"a bad flag":              {"--drain-delay soon", nil, "drain-delay"},
		"a time without a unit":   {"--drain-delay 5", nil, "as in 5s"},
		"an unknown flag":         {"--lissten :1", nil, "lissten"},
		"a stray argument":        {"start", nil, `"start"`},
	} {
		fs := newFlags(new(settings))
		var printed strings.Builder
		fs.SetOutput(&printed)
		fs.Usage = func() { printed.WriteString("usage") }
		err := Parse(fs, strings.Fields(row.args), lookupIn(row.env))
		if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v, want an error with %s and without the value of a variable", name, err, row.want)
		}
		if printed.Len() > 0 {
			t.Errorf("%s: printed %q; the caller prints the error, once", name, printed.String())
		}
	}
}

func TestHelp(t *testing.T) {
	for _, arg := range []string{"--help", "-h"} {
		fs := newFlags(new(settings))
		shown := 0
		fs.Usage = func() { shown++ }
		if err := Parse(fs, []string{arg}, lookupIn(nil)); !errors.Is(err, flag.ErrHelp) || shown != 1 {
			t.Errorf("%s: %v and the usage %d times, want flag.ErrHelp and once", arg, err, shown)
		}
	}
	fs := newFlags(new(settings))
	fs.Usage = nil // there is nothing to show then
	if err := Parse(fs, []string{"-h"}, lookupIn(nil)); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h without Usage: %v, want flag.ErrHelp", err)
	}
}

func TestUsage(t *testing.T) {
	var got strings.Builder
	Usage(newFlags(new(settings)), &got, "program: for a test.", "version")
	const want = `program: for a test.

Usage: program [flags]

A flag can be set by the environment variable behind it; the flag wins.

  --debug-admitted-at  [APIPROXY_DEBUG_ADMITTED_AT]
        measure
  --drain-delay TIME  [APIPROXY_DRAIN_DELAY]
        TIME to wait (default 5s)
  --listen ADDR  [APIPROXY_LISTEN]
        ADDR to listen on (default :8080)
  --token TOKEN  [APIPROXY_TOKEN]
        TOKEN, never shown
  --version
        print the version and exit
`
	if got.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", got.String(), want)
	}
}

func TestVersion(t *testing.T) {
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "0123456789abcdef"}
	for want, info := range map[string]debug.BuildInfo{
		"v1.2.3 0123456789ab go1.26.0": {GoVersion: "go1.26.0", Main: debug.Module{Version: "v1.2.3"}, Settings: []debug.BuildSetting{revision}},
		"v1.2.3 go1.26.0":              {GoVersion: "go1.26.0", Main: debug.Module{Version: "v1.2.3"}},
		"(devel) go1.26.0":             {GoVersion: "go1.26.0"},
	} {
		if got := version(&info, ""); got != want {
			t.Errorf("version = %q, want %q", got, want)
		}
	}
	if got := version(&debug.BuildInfo{GoVersion: "go1.26.0", Main: debug.Module{Version: "v1.2.3"}}, "2.0"); got != "2.0 go1.26.0" {
		t.Errorf("a release: %q", got)
	}
}

// Any arguments and variables end in a value or an error, and print nothing.
func FuzzParse(f *testing.F) {
	f.Add("--listen :1", "2s", "true")
	f.Add("-- --", "", "maybe")
	f.Fuzz(func(t *testing.T, args, wait, version string) {
		env := map[string]string{"APIPROXY_DRAIN_DELAY": wait, "APIPROXY_VERSION": version}
		var s settings
		fs := newFlags(&s)
		fs.SetOutput(io.Discard)
		err := Parse(fs, strings.Fields(args), lookupIn(env), "version")
		if err == nil && s.version && !strings.Contains(args, "version") {
			t.Fatal("an action was triggered by a variable")
		}
	})
}
