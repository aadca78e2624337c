package fakeprovider

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

const (
	controlPrefix  = "/_control/"
	maxControlBody = 64 << 10
)

// control serves the script and the oracle. Its requests are never counted.
func (s *Server) control(w http.ResponseWriter, r *http.Request) {
	call := r.Method + " " + strings.TrimPrefix(r.URL.Path, controlPrefix)
	switch call {
	case "POST faults":
		s.postFault(w, r)
	case "DELETE faults":
		s.ClearFaults()
		w.WriteHeader(http.StatusNoContent)
	case "POST reset":
		s.Reset()
		w.WriteHeader(http.StatusNoContent)
	case "GET stats":
		s.getStats(w)
	case "GET arrivals":
		s.getArrivals(w, r)
	default:
		refuse(w, http.StatusNotFound, fmt.Errorf("no call %q; there are POST and DELETE faults, POST reset, GET stats, GET arrivals", call))
	}
}

func (s *Server) postFault(w http.ResponseWriter, r *http.Request) {
	fault, err := decodeFault(http.MaxBytesReader(w, r.Body, maxControlBody))
	if err == nil {
		err = s.SetFault(fault)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	writeJSON(w, http.StatusOK, fault)
}

func decodeFault(body io.Reader) (f Fault, err error) {
	decoder := json.NewDecoder(body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&f); err != nil {
		return f, fmt.Errorf("fault: %w; fields are provider, error_rate, status, retry_after, latency, "+
			"reset_rate, reset_after_bytes, hang_rate, count", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return f, errors.New("fault: send one JSON object, nothing after it")
	}
	return f, nil
}

func (s *Server) getStats(w http.ResponseWriter) {
	all := map[string]Stats{}
	for i, name := range providerNames {
		all[name] = s.Stats(Provider(i))
	}
	writeJSON(w, http.StatusOK, all)
}

// getArrivals streams the arrivals from sequence number ?since= on:
// {"provider":..,"arrivals":[...],"next":n,"dropped":n}. next is the since for
// those to come; dropped counts those asked for that are no longer remembered.
func (s *Server) getArrivals(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	p, err := ParseProvider(query.Get("provider"))
	if err != nil {
		refuse(w, http.StatusBadRequest, fmt.Errorf("provider: %w", err))
		return
	}
	var since int64
	if text := query.Get("since"); text != "" {
		if since, err = strconv.ParseInt(text, 10, 64); err != nil || since < 0 {
			refuse(w, http.StatusBadRequest, fmt.Errorf("since is %q; use the sequence number of an arrival", text))
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	out := bufio.NewWriter(w)
	s.ledgers[p].write(out, p, since)
	_ = out.Flush() // fails only when the client is gone
}

func (l *ledger) write(out *bufio.Writer, p Provider, since int64) {
	first, next := l.bounds()
	missing := max(0, next-max(first, since))
	fmt.Fprintf(out, `{"provider":%q,"arrivals":[`, p)
	separator := "\n"
	l.each(since, next, func(batch []Arrival) bool {
		for _, arrival := range batch {
			line, err := json.Marshal(arrival)
			if err != nil {
				return false
			}
			_, _ = out.WriteString(separator)
			_, _ = out.Write(line)
			separator = ",\n"
		}
		missing -= int64(len(batch))
		return out.Flush() == nil // a client that went away ends the walk
	})
	fmt.Fprintf(out, "],\"next\":%d,\"dropped\":%d}\n", next, missing)
}

func refuse(w http.ResponseWriter, status int, err error) {
	writeJSON(w, status, map[string]string{"error": err.Error()})
}
