package hostile

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
)

// request is one request as a reader understood it.
type request struct {
	method, target string
	fields         []string // "Name: value" in order
	body           string
}

func (r request) equal(s request) bool {
	return r.method == s.method && r.target == s.target && r.body == s.body && slices.Equal(r.fields, s.fields)
}

// path is the target without its query.
func (r request) path() string {
	path, _, _ := strings.Cut(r.target, "?")
	return path
}

// meant reads the requests that raw begins with, as long as nobody could
// misunderstand them: it is the slow, obvious version of the node's parser,
// written from RFC 9112 alone. It is lenient where the node is: empty lines
// before a request line, a bare LF behind one (§2.2), any chunk extension.
// Where it stops, a node may stop too, but must not go on.
func meant(raw []byte) (list []request) {
	for {
		r, rest, ok := readOne(raw)
		if !ok {
			return list
		}
		list, raw = append(list, r), rest
	}
}

func readOne(raw []byte) (r request, rest []byte, ok bool) {
	var text string
	for text == "" {
		end := bytes.IndexByte(raw, '\n')
		if end < 0 {
			return r, nil, false
		}
		text, raw = strings.TrimSuffix(string(raw[:end]), "\r"), raw[end+1:]
	}
	words := strings.Split(text, " ")
	if len(words) != 3 || words[2] != "HTTP/1.1" && words[2] != "HTTP/1.0" {
		return r, nil, false
	}
	r.method, r.target = words[0], words[1]
	if words[2] == "HTTP/1.0" && bytes.HasPrefix(raw, []byte("\n")) {
		return r, nil, true // an empty head may end in a bare LF too, if it is the last
	}
	if r.fields, raw, ok = readFields(raw); !ok {
		return r, nil, false
	}
	length, coding := values(r.fields, "content-length"), values(r.fields, "transfer-encoding")
	switch {
	case len(length)+len(coding) == 0:
		return r, raw, true
	case len(length)+len(coding) > 1:
		return r, nil, false
	case len(coding) == 1:
		// Readers differ on where a chunked body ends, so it is the last thing
		// that is read on its connection.
		r.body, ok = unchunk(raw)
		return r, nil, ok && strings.EqualFold(coding[0], "chunked") && words[2] == "HTTP/1.1"
	}
	n, err := strconv.ParseUint(length[0], 10, 31)
	if err != nil || int(n) > len(raw) {
		return r, nil, false
	}
	r.body = string(raw[:n])
	return r, raw[n:], true
}

// readFields reads field lines up to the empty line, each ended by CRLF.
func readFields(raw []byte) (fields []string, rest []byte, ok bool) {
	for {
		text, rest, found := bytes.Cut(raw, []byte("\r\n"))
		if !found || bytes.ContainsAny(text, "\r\n\x00") {
			return nil, nil, false
		}
		if raw = rest; len(text) == 0 {
			return fields, raw, true
		}
		name, value, found := strings.Cut(string(text), ":")
		if !found || name == "" || strings.ContainsAny(name, " \t") {
			return nil, nil, false
		}
		fields = append(fields, name+": "+strings.Trim(value, " \t"))
	}
}

func unchunk(raw []byte) (body string, ok bool) {
	var all strings.Builder
	for {
		text, rest, found := bytes.Cut(raw, []byte("\r\n"))
		digits, _, _ := strings.Cut(string(text), ";")
		n, err := strconv.ParseUint(strings.TrimRight(digits, " \t"), 16, 31)
		if !found || bytes.ContainsAny(text, "\r\n") || err != nil {
			return "", false
		}
		if n == 0 { // trailers are dropped
			end := append([]byte("\n"), rest...)
			return all.String(), bytes.Contains(end, []byte("\n\r\n")) || bytes.Contains(end, []byte("\n\n"))
		}
		if len(rest) < int(n)+2 || string(rest[n:n+2]) != "\r\n" {
			return "", false
		}
		all.Write(rest[:n])
		raw = rest[n+2:]
	}
}

// values are those of the fields with that lower-case name.
func values(fields []string, name string) (list []string) {
	for _, f := range fields {
		if n, v, _ := strings.Cut(f, ": "); strings.ToLower(n) == name {
			list = append(list, v)
		}
	}
	return list
}

// removed are the fields that a provider never sees: what forward takes out, and
// those that the node writes itself.
var removed = strings.Fields(`connection keep-alive te trailer transfer-encoding upgrade http2-settings cookie origin referer authorization forwarded x-real-ip via x-request-id x-key
	host content-length expect`)

// upstream is the request that the origin must see for r: the path behind the
// prefix and the fields that may pass, all else unchanged.
func upstream(r request) request {
	rest := strings.TrimPrefix(r.target, "/api")
	path, query, asked := strings.Cut(rest, "?")
	if path == "/" {
		path = ""
	}
	up := request{method: r.method, target: "/base" + path, body: r.body}
	if asked {
		up.target += "?" + query
	}
	var named []string
	for _, list := range values(r.fields, "connection") {
		for item := range strings.SplitSeq(strings.ToLower(list), ",") {
			named = append(named, strings.Trim(item, " \t"))
		}
	}
	for _, f := range r.fields {
		name, _, _ := strings.Cut(f, ":")
		name = strings.ToLower(name)
		if !slices.Contains(removed, name) && !slices.Contains(named, name) &&
			!strings.HasPrefix(name, "x-forwarded-") && !strings.HasPrefix(name, "proxy-") && !strings.Contains(name, "_") {
			up.fields = append(up.fields, f)
		}
	}
	return up
}
