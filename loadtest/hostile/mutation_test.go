package hostile

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
)

var mutations = flag.Int("mutations", 3000, "how many mutations TestMutations tries")

// mutable bounds the inputs that are mutated, in bytes: sizes are the corpus's
// own business.
const mutable = 4 << 10

// seeds are the inputs to mutate, the valid ones four times: what was refused
// before is mostly refused again.
func seeds(tb testing.TB) (list []input) {
	for _, in := range readCorpus(tb) {
		if len(in.raw) > mutable {
			continue
		}
		list = append(list, in)
		if !in.hostile {
			list = append(list, in, in, in)
		}
	}
	return list
}

// Seeded mutations of the corpus: nothing that the oracle would not read the
// same way reaches the origin, each answer is logged and counted once, and
// nothing fails inside.
func TestMutations(t *testing.T) {
	n := *mutations
	b := start(t, shortened)
	corpus := seeds(t)
	const seed = 20261123
	rnd := rand.New(rand.NewPCG(seed, 1))
	answers, reached := 0, 0
	for i := range n {
		in := corpus[rnd.IntN(len(corpus))]
		raw := mutate(rnd, in.raw, corpus)
		all, through, err := try(b, raw, rnd.IntN(len(raw)+1))
		if err != nil {
			t.Errorf("mutation %d of %s: %v\nsent %q", i, in.name, err, raw)
		}
		answers, reached = answers+all, reached+through
	}
	t.Logf("%d mutations with seed %d: %d answers, %d requests reached the origin", n, seed, answers, reached)
	if reached == 0 || reached == answers {
		t.Errorf("%d of %d answers are the origin's: the mutations try nothing", reached, answers)
	}
	if got := b.metric("api_proxy_requests_total"); got != answers {
		t.Errorf("%d requests counted for %d answers", got, answers)
	}
	if lines := b.accessLog(); len(lines) != answers {
		t.Errorf("%d access log lines for %d answers", len(lines), answers)
	}
}

// shortened are limits that a test which provokes them can wait for.
const shortened = "proxy: {max_body_size: 1MiB}\nserver: {header_timeout: 1s, body_timeout: 2s}"

// mutate changes raw in one to four places.
func mutate(rnd *rand.Rand, raw []byte, corpus []input) []byte {
	raw = bytes.Clone(raw)
	for range 1 + rnd.IntN(4) {
		at := rnd.IntN(len(raw) + 1)
		switch rnd.IntN(7) {
		case 0: // flip a bit
			if at < len(raw) {
				raw[at] ^= 1 << rnd.IntN(8)
			}
		case 1: // insert what parsers stumble over
			const bad = "\r\n\x00: \t;,%\x0b\x80"
			raw = insert(raw, at, []byte{bad[rnd.IntN(len(bad))]})
		case 2: // repeat a line somewhere
			lines := bytes.SplitAfter(raw, []byte("\n"))
			raw = insert(raw, at, lines[rnd.IntN(len(lines))])
		case 3: // remove some bytes
			raw = append(raw[:at], raw[min(len(raw), at+1+rnd.IntN(8)):]...)
		case 4: // a line of another input, where a line begins
			lines := bytes.SplitAfter(corpus[rnd.IntN(len(corpus))].raw, []byte("\n"))
			at = bytes.IndexByte(raw, '\n') + 1
			raw = insert(raw, at, lines[rnd.IntN(len(lines))])
		case 5: // another input behind
			raw = append(raw, corpus[rnd.IntN(len(corpus))].raw...)
		case 6: // end a line in another way
			if end := bytes.Index(raw[at:], []byte("\r\n")); end >= 0 {
				ends := []string{"\n", "\r", "\r\r\n", "\n\r\n", " \r\n", "\r\n\r\n"}
				end += at
				raw = insert(append(raw[:end], raw[end+2:]...), end, []byte(ends[rnd.IntN(len(ends))]))
			}
		}
		if len(raw) == 0 {
			raw = []byte("\n")
		}
	}
	return raw
}

func insert(raw []byte, at int, piece []byte) []byte {
	return append(raw[:at:at], append(bytes.Clone(piece), raw[at:]...)...)
}

// try sends raw in two packets and says what went wrong, if anything did: the
// origin must have seen a subset of what the oracle reads in raw, in order,
// and no more than was answered.
func try(b *bench, raw []byte, split int) (answers, reached int, err error) {
	got, ended := b.send(true, raw[:split], raw[split:])
	answers = bytes.Count(got, []byte("\r\nX-Proxy-Request-ID: "))
	through := bytes.Count(got, []byte("\r\n"+passed+"\r\n"))
	if !ended {
		return answers, 0, fmt.Errorf("the connection stays open after %.300q", got)
	}
	seen, faults := b.origin.take()
	switch reached = len(seen); {
	case len(faults) > 0:
		return answers, reached, fmt.Errorf("the origin got %q", faults)
	case reached != through:
		return answers, reached, fmt.Errorf("%d requests at the origin and %d answers of it: %.300q", reached, through, got)
	}
	want := meant(raw)
	for _, r := range seen {
		for len(want) > 0 && !r.equal(upstream(want[0])) {
			want = want[1:]
		}
		if len(want) == 0 {
			return answers, reached, fmt.Errorf("the origin saw %.300q, which the oracle does not read in it", r)
		}
		want = want[1:]
	}
	return answers, reached, nil
}

// FuzzHostile lets the fuzzer do the same. One node and one origin serve all
// inputs of a process.
func FuzzHostile(f *testing.F) {
	b := start(f, shortened)
	for _, in := range seeds(f) {
		f.Add(in.raw, uint16(len(in.raw)/2))
	}
	f.Fuzz(func(t *testing.T, raw []byte, split uint16) {
		if _, _, err := try(b, raw, min(int(split), len(raw))); err != nil {
			t.Errorf("%v\nsent %q", err, raw)
		}
		if log := b.log.String(); bytes.Contains([]byte(log), []byte("bug of the proxy")) {
			t.Fatal(log)
		}
	})
}
