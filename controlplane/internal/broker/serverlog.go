package broker

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// serverLog is what the server says, sorted: refusals are counted, the rest is
// logged. The server has no better hook for a message that it refuses.
type serverLog struct {
	log     *slog.Logger
	refused func(Refused)
	broken  func() // the store can write no more

	mu     sync.Mutex
	reason string // of the first fatal error
}

// A refusal as the server writes it. Before the log-in stands text of the client,
// quoted, so that it cannot pretend to be another one.
var violation = regexp.MustCompile(`^\S+ - cid:\d+ - (?:"(?:[^"\\]|\\.)*" - )?"[^"\\/]*/user:([^"\\]*)" - (Publish|Subscription) Violation(?: Too Many Tokens)? - (?:Subject|Reply) (.*)`)

// Errorf implements server.Logger.
func (l *serverLog) Errorf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	if strings.Contains(text, "authentication error") {
		return // door has told it, without the user's text
	}
	if m := violation.FindStringSubmatch(text); m != nil {
		if l.refused != nil {
			kind := RefusedPublish
			if m[2] == "Subscription" {
				kind = RefusedSubscribe
			}
			l.refused(Refused{Node: m[1], Kind: kind, Subject: subject(m[3])})
		}
		return
	}
	l.log.Error("NATS server", "message", short(text))
	if strings.Contains(text, "critical write error") {
		l.broken()
	}
}

// subject takes the quoted subject from the rest of the server's line.
func subject(rest string) string {
	quoted, err := strconv.QuotedPrefix(rest)
	if err != nil {
		return ""
	}
	text, err := strconv.Unquote(quoted)
	if err != nil {
		return ""
	}
	text = strconv.QuoteToASCII(text)
	return text[1:min(len(text)-1, 129)]
}

func short(text string) string { return text[:min(len(text), 512)] }

// Fatalf implements server.Logger; the server goes on, or rather does not start.
func (l *serverLog) Fatalf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.mu.Lock()
	if l.reason == "" {
		l.reason = text
	}
	l.mu.Unlock()
	l.log.Error("NATS server", "message", short(text))
}

// Warnf implements server.Logger.
func (l *serverLog) Warnf(format string, v ...any) {
	l.log.Warn("NATS server", "message", short(fmt.Sprintf(format, v...)))
}

// Noticef implements server.Logger. Most of it is the banner.
func (l *serverLog) Noticef(format string, v ...any) {
	level := slog.LevelDebug
	text := fmt.Sprintf(format, v...)
	if strings.Contains(text, "Slow Consumer") {
		level = slog.LevelWarn
	}
	l.log.Log(context.Background(), level, "NATS server", "message", short(text))
}

// Debugf implements server.Logger; it is never asked to.
func (l *serverLog) Debugf(string, ...any) {}

// Tracef implements server.Logger; it is never asked to, because it would show
// messages.
func (l *serverLog) Tracef(string, ...any) {}

// fatal is why the server gave up, empty if it has not.
func (l *serverLog) fatal() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reason
}
