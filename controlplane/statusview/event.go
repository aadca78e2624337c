package statusview

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// Event is one of the controller's events, as it was sent on the stream: the
// name, the id if there is one, and the data, a JSON object with a time.
type Event struct {
	ID   string
	Name string
	Data json.RawMessage
}

// eventView is a line of the list. The script makes the same of what it hears.
type eventView struct {
	Key         string // tells repetitions
	Clock, When string
	Kind, Text  string
	Level       string
}

// The fields of an event that need no name before them, in the order in which
// they are told; the others follow by name, the revision before them.
var plainFields = []string{"provider", "node", "id", "limit"}

func newEventView(e Event) eventView {
	v := eventView{Key: eventKey(e), Kind: eventKind(e.Name), Clock: none, Level: ok}
	var data map[string]any
	dec := json.NewDecoder(bytes.NewReader(e.Data))
	dec.UseNumber()
	if err := dec.Decode(&data); err != nil {
		return v
	}
	if text, isText := data["time"].(string); isText {
		if t, err := time.Parse(time.RFC3339, text); err == nil {
			v.Clock, v.When = clock(t), stamp(t)
		}
	}
	delete(data, "time")
	v.Level = eventLevel(e.Name, data)
	v.Text = eventText(data)
	return v
}

func eventKey(e Event) string {
	if e.ID != "" {
		return e.ID
	}
	return e.Name + " " + string(e.Data)
}

// eventKind is "Node joined" for node_joined.
func eventKind(name string) string {
	words := strings.ReplaceAll(name, "_", " ")
	if words == "" {
		return ""
	}
	return strings.ToUpper(words[:1]) + words[1:]
}

func eventLevel(name string, data map[string]any) string {
	state, isText := data["to"].(string)
	if !isText {
		state, _ = data["state"].(string)
	}
	switch {
	case name == "breaker" && state == "open":
		return bad
	case name == "breaker" && state == "half_open", name == "node_left", name == "limit_exhausted":
		return warn
	}
	return ok
}

func eventText(data map[string]any) string {
	var parts []string
	take := func(name string) (text string, found bool) {
		value, found := data[name]
		delete(data, name)
		text = eventValue(value)
		return text, found && text != ""
	}
	for _, name := range plainFields {
		if text, found := take(name); found {
			parts = append(parts, text)
		}
	}
	from, hasFrom := take("from")
	to, hasTo := take("to")
	switch {
	case hasFrom && hasTo:
		parts = append(parts, words(from)+" → "+words(to))
	case hasTo:
		parts = append(parts, words(to))
	case hasFrom:
		parts = append(parts, "from "+words(from))
	}
	if text, found := take("state"); found {
		parts = append(parts, words(text))
	}
	names := make([]string, 0, len(data))
	for name := range data {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range append([]string{"revision"}, names...) {
		if text, found := take(name); found {
			parts = append(parts, words(name)+" "+text)
		}
	}
	return strings.Join(parts, ", ")
}

// eventValue is a JSON value as text; nothing for null and "".
func eventValue(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case []any:
		texts := make([]string, len(v))
		for i := range v {
			texts[i] = eventValue(v[i])
		}
		return strings.Join(texts, " ")
	}
	return "…"
}

// words is "half open" for half_open.
func words(name string) string { return strings.ReplaceAll(name, "_", " ") }
