// Package cli gives the flags of all programs the same manners: each has an
// environment variable, and --help says which.
package cli

import (
	"flag"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
)

// EnvPrefix begins the names of the environment variables.
const EnvPrefix = "APIPROXY_"

// EnvName is the variable of a flag: "log-dir" is APIPROXY_LOG_DIR.
func EnvName(flagName string) string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(flagName, "-", "_"))
}

// Parse reads args into fs, then the environment for flags that args left out.
// lookup is os.LookupEnv, or a stand-in. A stray argument is an error.
func Parse(fs *flag.FlagSet, args []string, lookup func(string) (string, bool)) error {
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; flags begin with --, see --help", fs.Arg(0))
	}
	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	var err error
	fs.VisitAll(func(f *flag.Flag) {
		value, ok := lookup(EnvName(f.Name))
		if err != nil || !ok || given[f.Name] {
			return
		}
		if e := fs.Set(f.Name, value); e != nil {
			err = fmt.Errorf("%s=%q: %w", EnvName(f.Name), value, e)
		}
	})
	return err
}

// Usage prints what the program is for and one paragraph per flag.
func Usage(fs *flag.FlagSet, w io.Writer, about string) {
	fmt.Fprintf(w, "%s\n\nUsage: %s [flags]\n\nEach flag can be set by the environment variable behind it; the flag wins.\n\n", about, fs.Name())
	fs.VisitAll(func(f *flag.Flag) {
		kind, usage := flag.UnquoteUsage(f)
		fmt.Fprintf(w, "  --%s %s  [%s]\n        %s", f.Name, kind, EnvName(f.Name), usage)
		if f.DefValue != "" && f.DefValue != "false" {
			fmt.Fprintf(w, " (default %s)", f.DefValue)
		}
		fmt.Fprintln(w)
	})
}

// Version is what --version prints: the version of the build, the commit if the
// build knows it, and the Go version.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	version := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			version += " " + s.Value[:12]
		}
	}
	return version + " " + info.GoVersion
}
