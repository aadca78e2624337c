//go:build !race

package jsonrpc

import "testing"

func TestAllocations(t *testing.T) {
	body := []byte(`[{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{"to":"0x1"}, "latest"]},{"jsonrpc":"2.0","id":2,"method":"m"}]`)
	came := []byte(`[{"jsonrpc":"2.0","id":0,"result":"0x1"},{"jsonrpc":"2.0","id":1,"error":{"code":1}}]`)
	m := NewMethods([]string{"eth_call"})
	var b Batch
	var key, out []byte
	answers := make([]Answer, 2)
	f := func() {
		if b.Parse(body) != nil || m.Class(&b.Calls[0]) != Latest {
			t.Fatal("not read")
		}
		key = b.Calls[0].AppendKey(key[:0])
		ask(&b, all)
		out = b.AppendRequest(out[:0])
		clear(answers)
		if _, err := b.ParseAnswer(came, answers); err != nil || !b.Distinct() || Anonymous(came) {
			t.Fatal("not read", err)
		}
		out = b.AppendAnswers(out[:0], answers)
	}
	f()
	if got := testing.AllocsPerRun(100, f); got != 0 {
		t.Errorf("%v allocations, want 0", got)
	}
}

func BenchmarkParse(b *testing.B) {
	body := []byte(`{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{"to":"0x6b175474e89094c44da98b954eedeac495271d0f","data":"0x70a08231"},"latest"]}`)
	var batch Batch
	var key []byte
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if batch.Parse(body) != nil {
			b.Fatal("not read")
		}
		key = batch.Calls[0].AppendKey(key[:0])
	}
}
