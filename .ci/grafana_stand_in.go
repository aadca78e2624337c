// Command grafana_stand_in takes Grafana's place where Grafana cannot be had. It
// says so on every page, and that it sees the files which Grafana would be
// provisioned with; it shows no dashboard.
package main

import (
	"fmt"
	"io/fs"
	"log"
	"net/http"
	"path/filepath"
)

func main() {
	log.Print("THIS IS NOT GRAFANA but a stand-in for tests: no dashboard is shown")
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "THIS IS NOT GRAFANA but a stand-in for tests. Files that Grafana would be provisioned with:")
		_ = filepath.WalkDir("/etc/grafana/provisioning", func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				fmt.Fprintln(w, path)
			}
			return nil
		})
	})
	log.Fatal(http.ListenAndServe(":3000", nil)) //nolint:gosec // a test's own page
}
