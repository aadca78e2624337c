package quota

import (
	"encoding/json"
	"maps"
)

// Reports are the reports of a node by the name of the limit.
type Reports map[string]Report

// UnmarshalJSON reads reports as encoding/json would. A leader of a hundred nodes
// does little else, so what our own nodes write is read by hand, and everything
// else is left to the library.
func (r *Reports) UnmarshalJSON(data []byte) error {
	quick := make(Reports)
	if s := (scanner{data, true}); s.reports(quick) {
		if *r == nil {
			*r = quick
			return nil
		}
		maps.Copy(*r, quick)
		return nil
	}
	return json.Unmarshal(data, (*map[string]Report)(r))
}

// scanner reads JSON without spaces, escapes and fractions; ok turns false at
// anything else.
type scanner struct {
	rest []byte
	ok   bool
}

func (s *scanner) reports(all Reports) bool {
	s.skip('{')
	for s.ok && s.peek() != '}' {
		if len(all) > 0 {
			s.skip(',')
		}
		name := s.name()
		s.skip(':')
		if _, twice := all[name]; twice {
			return false
		}
		var r Report
		s.report(&r)
		all[name] = r
	}
	s.skip('}')
	return s.ok && len(s.rest) == 0
}

// name is a string of plain characters.
func (s *scanner) name() string {
	s.skip('"')
	for n, c := range s.rest {
		switch {
		case c == '"':
			name := string(s.rest[:n])
			s.rest = s.rest[n+1:]
			return name
		case c < ' ' || c > '~' || c == '\\':
			s.ok = false
			return ""
		}
	}
	s.ok = false
	return ""
}

func (s *scanner) report(r *Report) {
	s.object(func(key byte) {
		switch key {
		case 'e':
			r.Term = s.count()
		case 'q':
			r.Seq = s.count()
		case 'n':
			r.Nonce = s.amount()
		case 'g':
			s.sum(&r.Got)
		case 'b':
			s.sum(&r.Back)
		case 'l':
			r.Level = s.amount()
		case 'd':
			r.Demand = s.amount()
		case 'i':
			r.Now = s.amount()
		case 'u':
			r.Urgent = s.yes()
		case 'x':
			r.Last = s.yes()
		case 'a':
			r.Admitted = s.count()
		case 'f':
			r.Refused = s.count()
		case 'c':
			r.Correction = s.amount()
		default:
			s.ok = false
		}
	})
}

func (s *scanner) sum(x *Sum) {
	s.object(func(key byte) {
		switch key {
		case 'r':
			x.Rate = s.count()
		case 'w':
			x.Room = s.count()
		case 't':
			x.Tokens = s.count()
		default:
			s.ok = false
		}
	})
}

// object calls value for each key, which is one letter.
func (s *scanner) object(value func(key byte)) {
	s.skip('{')
	for first := true; s.ok && s.peek() != '}'; first = false {
		if !first {
			s.skip(',')
		}
		if len(s.rest) < 4 || s.rest[0] != '"' || s.rest[2] != '"' || s.rest[3] != ':' {
			s.ok = false
			return
		}
		key := s.rest[1]
		s.rest = s.rest[4:]
		value(key)
	}
	s.skip('}')
}

func (s *scanner) peek() byte {
	if len(s.rest) == 0 {
		s.ok = false
		return 0
	}
	return s.rest[0]
}

func (s *scanner) skip(c byte) {
	if s.peek() != c {
		s.ok = false
		return
	}
	s.rest = s.rest[1:]
}

func (s *scanner) yes() bool {
	const text = "true"
	if len(s.rest) < len(text) || string(s.rest[:len(text)]) != text {
		s.ok = false
		return false
	}
	s.rest = s.rest[len(text):]
	return true
}

// mostDigits fit into every integer.
const mostDigits = 18

func (s *scanner) count() (x uint64) {
	n := 0
	for n < len(s.rest) && s.rest[n]-'0' < 10 {
		x = x*10 + uint64(s.rest[n]-'0')
		n++
	}
	if n == 0 || n > mostDigits || n > 1 && s.rest[0] == '0' {
		s.ok = false
		return 0
	}
	s.rest = s.rest[n:]
	return x
}

func (s *scanner) amount() int64 {
	if s.peek() == '-' {
		s.ok = false // there are hardly any; -0 is one
	}
	return int64(s.count())
}
