package httpapi

import (
	"bytes"
	"net/http"
	"strings"
)

// serveStatus shows the cluster: to a browser, which asks for text/html, as a
// page, and to everybody else as JSON.
func (s *Server) serveStatus(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Vary", "Accept")
	doc := s.options.Backend.Status()
	var body bytes.Buffer
	if s.options.Page == nil || !wantsPage(r) {
		header.Set("Content-Type", "application/json")
		if err := writeJSON(&body, doc); err != nil {
			s.failPage(w, err)
			return
		}
	} else {
		header.Set("Content-Type", "text/html; charset=utf-8")
		header.Set("Content-Security-Policy", s.options.Page.CSP())
		if err := s.options.Page.Render(&body, doc); err != nil {
			s.failPage(w, err)
			return
		}
	}
	_, _ = w.Write(body.Bytes()) // the client has gone
}

func (s *Server) failPage(w http.ResponseWriter, err error) {
	s.options.Log.Error("the status could not be shown", "error", err.Error())
	refuse(http.StatusInternalServerError, "The status could not be shown; the log of the control plane says why.").write(w)
}

func wantsPage(r *http.Request) bool {
	switch r.URL.Query().Get("format") {
	case "json":
		return false
	case "html":
		return true
	}
	accept := strings.ToLower(strings.Join(r.Header.Values("Accept"), ","))
	return strings.Contains(accept, "text/html") && !strings.Contains(accept, "application/json")
}
