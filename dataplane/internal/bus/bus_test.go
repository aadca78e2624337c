package bus

import (
	"bufio"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"apiproxy.internal/shared/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// heard is what a bus has told.
type heard struct {
	mu       sync.Mutex
	configs  []wire.ConfigEntry
	breakers []string
	answers  []wire.Answer
	troubles []string
}

func (h *heard) options(url string) Options {
	return Options{
		URL: url, Node: "n1", Secret: "s3cret",
		Answer:     func(a wire.Answer) { h.answers = append(h.answers, a) },
		Config:     func(e wire.ConfigEntry) { h.configs = append(h.configs, e) },
		Breaker:    func(p string, _ wire.BreakerEntry) { h.breakers = append(h.breakers, p) },
		Connection: func(bool, string) {},
		Trouble: func(what string, err error) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.troubles = append(h.troubles, what+": "+err.Error())
		},
	}
}

// Connect returns before anybody has answered, and Close ends all.
func TestConnectDoesNotWait(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	begin := time.Now()
	b := New((&heard{}).options("nats://" + l.Addr().String() + ",nats://127.0.0.1:1"))
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took >= dialTimeout {
		t.Errorf("it waited for %v", took)
	}
	if b.Connected() || b.LocalIP() != "" {
		t.Error("connected with nobody")
	}
	if err := b.Report(wire.Report{Head: wire.Now()}); err == nil {
		t.Error("a report was kept for later")
	}
	b.Close()
}

// While the library waits for a server that accepts and says nothing, whoever
// reports does not: a node's leases ended because their ticks came too late.
func TestReportDoesNotWait(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	b := New((&heard{}).options("nats://" + l.Addr().String()))
	b.patience = time.Minute
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept() // now it waits for a greeting
	if err != nil {
		t.Fatal(err)
	}
	go func() { // a second attempt says that the first was given up
		if next, err := l.Accept(); err == nil {
			_, _ = conn.Close(), next.Close()
		}
	}()
	b.up.Store(true) // as if the news of the loss had not come yet
	for range 3 {
		_ = b.Report(wire.Report{Head: wire.Now()})
	}
	if b.LocalIP() != "" || !b.Connected() {
		t.Error("it asked the library")
	}
	if _, err := conn.Write([]byte("INFO {\"proto\":1}\r\n")); err != nil {
		t.Error(err)
	}
	if line, err := bufio.NewReader(conn).ReadString(' '); line != "CONNECT " {
		t.Errorf("the library gave up meanwhile: %q, %v", line, err)
	}
	_, _ = conn.Close(), l.Close()
	b.Close()
}

// A report that could not be sent is told with the next one.
func TestReportTellsALoss(t *testing.T) {
	b := New((&heard{}).options(""))
	b.up.Store(true)
	if err := b.Report(wire.Report{Head: wire.Now()}); err != nil {
		t.Error(err)
	}
	if err := b.Report(wire.Report{Head: wire.Now(), Node: "newer"}); err == nil {
		t.Error("a report was replaced, and nothing said")
	}
	if got := string(<-b.reports); !strings.Contains(got, "newer") {
		t.Errorf("%s is sent", got)
	}
	b.lost.Store(true)
	if b.Report(wire.Report{Head: wire.Now()}) == nil {
		t.Error("a report was lost, and nothing said")
	}
}

func TestWrongURL(t *testing.T) {
	for _, url := range []string{"nats://\x00", "://"} {
		if err := New((&heard{}).options(url)).Connect(); err == nil || !strings.Contains(err.Error(), "--nats-url") {
			t.Errorf("%q: %v", url, err)
		}
	}
}

// value is an entry of a bucket.
type value struct {
	jetstream.KeyValueEntry
	key, text string
	deleted   bool
}

func (v value) Key() string   { return v.key }
func (v value) Value() []byte { return []byte(v.text) }
func (v value) Operation() jetstream.KeyValueOp {
	if v.deleted {
		return jetstream.KeyValueDelete
	}
	return jetstream.KeyValuePut
}

// What cannot be read, and what is deleted, changes nothing; the first is told.
func TestMessages(t *testing.T) {
	var h heard
	b := New(h.options(""))
	b.config(value{text: `{"v":1,"revision":3,"config":{}}`})
	b.breaker(value{key: "up", text: `{"v":1,"state":"open","since":"2025-03-01T12:00:00Z"}`})
	b.answer(&nats.Msg{Data: []byte(`{"v":1,"inc":"i","nonce":5,"epoch":7}`)})
	if len(h.configs) != 1 || h.configs[0].Revision != 3 || len(h.breakers) != 1 || h.breakers[0] != "up" || len(h.answers) != 1 || h.answers[0].Epoch != 7 {
		t.Errorf("%+v", &h)
	}
	b.config(value{deleted: true})
	b.breaker(value{deleted: true})
	if len(h.troubles) != 0 {
		t.Error(h.troubles)
	}
	for _, bad := range []string{"", "garbage", "{}", `{"v":2}`, `{"v":1,"revision":-1,"gen":-1,"epoch":-1}`} {
		b.config(value{text: bad})
		b.breaker(value{text: bad})
		b.answer(&nats.Msg{Data: []byte(bad)})
	}
	if len(h.configs) != 1 || len(h.breakers) != 1 || len(h.answers) != 1 || len(h.troubles) != 15 {
		t.Errorf("%d troubles, %+v", len(h.troubles), &h)
	}
}

// A refused log-in is told in words that help.
func TestPlain(t *testing.T) {
	if got := plain(nats.ErrAuthorization).Error(); !strings.Contains(got, "--nats-secret-file") {
		t.Error(got)
	}
	if plain(nil) == nil || reason(nil) != "closed" {
		t.Error("nothing is a reason, too")
	}
	if err := errors.New("x"); plain(err) != err || reason(err) != "x" {
		t.Error("changed")
	}
}
