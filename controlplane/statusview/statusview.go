// Package statusview is the /status page of the controller: what it knows of the
// cluster, as HTML that a browser shows before any script has run. Rendering is
// pure: the document goes in, bytes come out, and the time is the document's own
// generated_at. The page's script then keeps the same elements up to date from
// the JSON of the same document, so whatever Go formats here assets/status.js
// formats there, to the same text; a browser test compares the two.
package statusview

import (
	"bytes"
	"embed"
	"fmt"
	"hash/fnv"
	"html/template"
	"io"
	"net/http"
	"strings"
	"sync"

	"apiproxy.internal/shared/status"
)

// Where the page expects to be served. It refers to everything by relative
// addresses, so all of it may also live below a prefix that a proxy strips.
const (
	PagePath   = "/status"
	AssetsPath = "/status/assets/" // a subtree
	EventsPath = "/api/v1/events"
)

// CSP is the Content-Security-Policy of the page: everything from our own origin,
// nothing inline, nothing built from text, no frames around it.
const CSP = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// MaxEvents is how many events the page shows.
const MaxEvents = 50

// Page is what the page shows at first paint. All of it may come from strangers:
// names, reasons and events are escaped.
type Page struct {
	Status  status.Document
	Events  []Event             // newest first; beyond MaxEvents they are left out
	History map[string][]Sample // of each provider, oldest first; see Recorder; may be nil
}

//go:embed page.html assets
var files embed.FS

// pageTemplate knows the addresses of the assets, which change with their content.
var pageTemplate = template.Must(template.New("page.html").
	Funcs(template.FuncMap{"asset": assetURL}).ParseFS(files, "page.html"))

// Render writes the page as HTML. It fails only if w does.
func Render(w io.Writer, p Page) error {
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, newView(p)); err != nil {
		return fmt.Errorf("status page: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// assetTypes are the assets that exist.
var assetTypes = map[string]string{
	"status.css": "text/css; charset=utf-8",
	"status.js":  "text/javascript; charset=utf-8",
	"icon.svg":   "image/svg+xml",
}

// assetVersions are short hashes of the assets' content.
var assetVersions = sync.OnceValue(func() map[string]string {
	versions := make(map[string]string, len(assetTypes))
	for name := range assetTypes {
		content, err := files.ReadFile("assets/" + name)
		if err != nil {
			panic(err) // a name above that was not embedded; every test sees it
		}
		sum := fnv.New64a()
		sum.Write(content)
		versions[name] = fmt.Sprintf("%016x", sum.Sum64())
	}
	return versions
})

// assetURL is relative to PagePath.
func assetURL(name string) string {
	return strings.TrimPrefix(AssetsPath, "/") + name + "?v=" + assetVersions()[name]
}

// Assets serves what the page refers to below AssetsPath. A browser may keep an
// asset for ever, because the address has its version.
func Assets() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, below := strings.CutPrefix(r.URL.Path, AssetsPath)
		kind, known := assetTypes[name]
		if !below || !known {
			http.NotFound(w, r)
			return
		}
		version := assetVersions()[name]
		h := w.Header()
		h.Set("Content-Type", kind)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("ETag", `"`+version+`"`)
		h.Set("Cache-Control", "no-cache")
		if r.URL.Query().Get("v") == version {
			h.Set("Cache-Control", "public, max-age=31536000, immutable")
		}
		http.ServeFileFS(w, r, files, "assets/"+name)
	})
}
