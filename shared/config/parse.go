package config

import (
	"bytes"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// Parse reads a document, JSON if it begins with "{" and YAML 1.2 otherwise, of at
// most 1 MiB. The document is complete and valid, or err is Problems with
// everything that is wrong: syntax errors alone, all other problems together.
// Warnings are about documents that are legal and perhaps not meant; they are
// given in either case. The revision of the text is ignored.
func Parse(data []byte) (doc *Document, warnings []Problem, err error) {
	tree, p := parseText(data)
	if p != nil {
		return nil, nil, Problems{*p}
	}
	r := newReport()
	doc = r.document(tree)
	sortByLine(r.problems)
	sortByLine(r.warnings)
	if len(r.problems) > 0 {
		return nil, r.warnings, r.problems
	}
	return doc, r.warnings, nil
}

func parseText(data []byte) (*node, *Problem) {
	if len(data) > maxSize {
		return nil, &Problem{Message: "the document is larger than 1 MiB", Remedy: "shorten it"}
	}
	if i := bytes.IndexByte(data, 0); i >= 0 || !utf8.Valid(data) {
		return nil, &Problem{Message: "the document is not UTF-8 text", Remedy: "save it as UTF-8 without NUL bytes"}
	}
	return parseTree(bytes.TrimPrefix(data, []byte("\ufeff")))
}

func (r *report) document(tree *node) *Document {
	doc := Default()
	if tree.has("rate_limit") {
		doc.RateLimit = RateLimit{}
	}
	if tree.has("providers") {
		doc.Providers = map[string]Provider{}
	}
	if tree.kind == kindNull {
		// What a full disk or a slip with ">" leaves behind must not bring the
		// presets into force.
		r.refuse("", "the document is empty", "write {} for the defaults, or name no document")
		return doc
	}
	binder{r}.value("", tree, reflect.ValueOf(doc).Elem(), "")
	if !tree.has("rate_limit") {
		maps.DeleteFunc(doc.RateLimit.PerProvider, func(name string, _ *Limit) bool {
			_, exists := doc.Providers[name]
			return !exists
		})
	}
	r.complete(doc)
	r.validate(doc)
	return doc
}

// complete fills in the defaults that depend on other fields and brings what can
// be written in several ways into one form.
func (r *report) complete(doc *Document) {
	for _, limit := range doc.limits() {
		r.completeLimit(limit)
	}
	for name, p := range doc.Providers {
		if !r.given(child(child("providers", name), "prefix")) {
			p.Prefix = "/" + name
		}
		p.Prefix = strings.TrimSuffix(p.Prefix, "/") + "/"
		p.Upstream = strings.TrimSuffix(p.Upstream, "/")
		if p.Protocol == ProtocolJSONRPC && p.JSONRPC == nil {
			p.JSONRPC = defaultJSONRPC()
		}
		doc.Providers[name] = p
	}
}

func (*report) completeLimit(limit *Limit) {
	if limit.Burst == 0 {
		limit.Burst = int64(max(1, limit.Rate.ceil()))
	}
}

// limits are all limits of a document by their path.
func (d *Document) limits() map[string]*Limit {
	limits := map[string]*Limit{}
	if d.RateLimit.Global != nil {
		limits["rate_limit.global"] = d.RateLimit.Global
	}
	if d.RateLimit.PerIP != nil {
		limits["rate_limit.per_ip"] = &d.RateLimit.PerIP.Limit
	}
	for name, limit := range d.RateLimit.PerProvider {
		limits[child("rate_limit.per_provider", name)] = limit
	}
	return limits
}

func (d *Document) providerNames() []string { return sortedKeys(d.Providers) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
