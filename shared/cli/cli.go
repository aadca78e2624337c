// Package cli gives the flags of all programs the same manners: each setting has
// an environment variable, and --help says which.
package cli

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"
)

// EnvPrefix begins the names of the environment variables.
const EnvPrefix = "APIPROXY_"

// EnvName is the variable of a flag: "log-dir" is APIPROXY_LOG_DIR.
func EnvName(flagName string) string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(flagName, "-", "_"))
}

// Parse reads args into fs, then the environment for flags that args left out.
// lookup is os.LookupEnv, or a stand-in; a variable that is empty counts as unset.
// actions name the flags that say what to do once rather than how to run, such as
// "version": a variable that all programs of a container inherit must not trigger
// them. A stray argument is an error. If help was asked for, Parse calls fs.Usage
// and returns flag.ErrHelp; other errors are left to the caller to print.
func Parse(fs *flag.FlagSet, args []string, lookup func(string) (string, bool), actions ...string) error {
	err := parseQuietly(fs, args)
	if errors.Is(err, flag.ErrHelp) && fs.Usage != nil {
		fs.Usage()
	}
	if err != nil {
		return explain(err)
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; flags begin with --, see --help", fs.Arg(0))
	}
	given := slices.Clone(actions)
	fs.Visit(func(f *flag.Flag) { given = append(given, f.Name) })
	fs.VisitAll(func(f *flag.Flag) {
		value, _ := lookup(EnvName(f.Name))
		if err != nil || value == "" || slices.Contains(given, f.Name) {
			return
		}
		if e := fs.Set(f.Name, value); e != nil {
			// Without the value: secrets turn up in variables.
			err = fmt.Errorf("%s: not a valid value (%w); see --%s in --help", EnvName(f.Name), explain(e), f.Name)
		}
	})
	return err
}

// explain adds what package flag leaves out when it says "parse error".
func explain(err error) error {
	if !strings.HasSuffix(err.Error(), "parse error") {
		return err
	}
	return fmt.Errorf("%w: a time has a unit, as in 5s, and a number has none", err)
}

// parseQuietly is fs.Parse without its printing the whole usage under each error.
func parseQuietly(fs *flag.FlagSet, args []string) error {
	out, usage := fs.Output(), fs.Usage
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	defer func() { fs.Usage = usage; fs.SetOutput(out) }()
	return fs.Parse(args)
}

// Usage prints what the program is for and one paragraph per flag. actions are
// those of Parse.
func Usage(fs *flag.FlagSet, w io.Writer, about string, actions ...string) {
	fmt.Fprintf(w, "%s\n\nUsage: %s [flags]\n\nA flag can be set by the environment variable behind it; the flag wins.\n\n", about, fs.Name())
	fs.VisitAll(func(f *flag.Flag) {
		kind, usage := flag.UnquoteUsage(f)
		fmt.Fprintf(w, "  --%s", f.Name)
		if kind != "" {
			fmt.Fprintf(w, " %s", kind)
		}
		if !slices.Contains(actions, f.Name) {
			fmt.Fprintf(w, "  [%s]", EnvName(f.Name))
		}
		fmt.Fprintf(w, "\n        %s", usage)
		if f.DefValue != "" && f.DefValue != "false" {
			fmt.Fprintf(w, " (default %s)", f.DefValue)
		}
		fmt.Fprintln(w)
	})
}

// release is the version that a build was given, by -ldflags -X; empty = none.
var release string

// Version is what --version prints: the version of the build, the commit if the
// build knows it, and the Go version.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return version(info, release)
}

func version(info *debug.BuildInfo, release string) string {
	words := []string{cmp.Or(release, info.Main.Version, "(devel)")}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			words = append(words, s.Value[:12])
		}
	}
	return strings.Join(append(words, info.GoVersion), " ")
}
