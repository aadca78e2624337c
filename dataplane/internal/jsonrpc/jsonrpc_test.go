package jsonrpc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"apiproxy.internal/shared/config"
)

func all(int) bool { return true }

// ask marks the calls that the provider is asked.
func ask(b *Batch, wanted func(place int) bool) {
	for i := range b.Calls {
		b.Calls[i].Asked = wanted(i)
	}
}

func TestParse(t *testing.T) {
	for body, want := range map[string]string{
		`{"jsonrpc":"2.0","id":1,"method":"m","params":[1, "a b"]}`:                                   `1 m [1,"a b"]`,
		" {\n\t\"method\" : \"m\" , \"id\":\"x\",\"jsonrpc\":\"2.0\"}\r\n":                            `"x" m `,
		`{"jsonrpc":"2.0","method":"m","params":{"b": 1, "a":{}}}`:                                    ` m {"b":1,"a":{}}`,
		`{"jsonrpc":"2.0","id":null,"method":"m"}`:                                                    `null m `,
		`{"jsonrpc":"2.0","id":-1.5e3,"method":"m"}`:                                                  `-1.5e3 m `,
		`[{"jsonrpc":"2.0","id":1,"method":"m"} , {"jsonrpc":"2.0","id":2,"method":"n","params":[]}]`: `[1 m |2 n []`,
	} {
		var b Batch
		if err := b.Parse([]byte(body)); err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		if got := describe(&b); got != want {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
}

func describe(b *Batch) string {
	var parts []string
	for _, c := range b.Calls {
		key := string(c.AppendKey(nil))
		parts = append(parts, string(c.ID)+" "+strings.Replace(key, "\x00", " ", 1))
	}
	text := strings.Join(parts, "|")
	if b.IsArray {
		text = "[" + text
	}
	return text
}

func TestParseRefuses(t *testing.T) {
	call := func(members string) string { return `{"jsonrpc":"2.0","id":1,"method":"m"` + members + `}` }
	for body, want := range map[string]error{
		"": ErrSyntax, " ": ErrSyntax, "{": ErrSyntax, "nul": ErrSyntax, call("") + "x": ErrSyntax, call(","): ErrSyntax, "[" + call("") + ",]": ErrSyntax,
		call(`,"params":[1,]`): ErrSyntax, call(`,"params":[01]`): ErrSyntax, call(`,"params":["` + "\n" + `"]`): ErrSyntax, call(`,"params":["\x"]`): ErrSyntax,
		call(`,"params":{"a"}`): ErrSyntax, call(`,"params":{1:2}`): ErrSyntax, call(`,"params":[NaN]`): ErrSyntax, call(`,"params":[}`): ErrSyntax,
		strings.Repeat("[", 1_000_000): ErrSyntax,
		call(`,"params":` + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth)): ErrSyntax,
		`"text"`: ErrCall, `7`: ErrCall, `[]`: ErrCall, `[1]`: ErrCall, `{}`: ErrCall, `[[` + call("") + `]]`: ErrCall,
		call(`,"method":"n"`): ErrCall, call(`,"id":2`): ErrCall, call(`,"params":[],"params":[1]`): ErrCall, call(`,"jsonrpc":"2.0"`): ErrCall,
		call(`,"\u006dethod":"n"`): ErrCall, call(`,"METHOD":"n"`): ErrCall, call(`,"extra":1`): ErrCall,
		call(`,"params":1`): ErrCall, call(`,"params":"a"`): ErrCall, call(`,"params":null`): ErrCall,
		`{"jsonrpc":"1.0","id":1,"method":"m"}`:       ErrCall,
		`{"id":1,"method":"m"}`:                       ErrCall,
		`{"jsonrpc":"2.0","id":1}`:                    ErrCall,
		`{"jsonrpc":"2.0","id":1,"method":""}`:        ErrCall,
		`{"jsonrpc":"2.0","id":1,"method":7}`:         ErrCall,
		`{"jsonrpc":"2.0","id":1,"method":"m\u0000"}`: ErrCall,
		`{"jsonrpc":"2.0","id":[1],"method":"m"}`:     ErrCall,
		`{"jsonrpc":"2.0","id":{},"method":"m"}`:      ErrCall,
		`{"jsonrpc":"2.0","id":true,"method":"m"}`:    ErrCall,
		"[1," + call("") + "]":                        ErrCall, "[" + call("") + ",1]": ErrCall,
	} {
		var b Batch
		if err := b.Parse([]byte(body)); !errors.Is(err, want) {
			t.Errorf("%.80s: %v, want %v", body, err, want)
		}
	}
}

// Different questions never have the same key; white space makes no other one.
func TestKeys(t *testing.T) {
	key := func(method, params string) string {
		var b Batch
		if err := b.Parse([]byte(`{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":` + params + `}`)); err != nil {
			t.Fatal(params, err)
		}
		return string(b.Calls[0].AppendKey(nil))
	}
	if key("m", `[ "0x1" ,{"a" : [1,2]}]`) != key("m", `["0x1",{"a":[1,2]}]`) {
		t.Error("white space counts")
	}
	seen := map[string]string{}
	for _, params := range []string{
		`[]`, `{}`, `[1]`, `[1.0]`, `["1"]`, `["a","b"]`, `["a,b"]`, `["a\",\"b"]`, `["a b"]`, `["ab"]`, `[" ab"]`, `["a\u0062"]`, `[[1],2]`, `[1,[2]]`,
		`{"a":1,"b":2}`, `{"b":2,"a":1}`, `{"a":1}`, `[{"a":1}]`, `["\\"," "]`, `["\\\" "]`,
	} {
		k := key("m", params)
		if other, taken := seen[k]; taken {
			t.Errorf("%s and %s share a key", params, other)
		}
		seen[k] = params
	}
	if key("mn", `[]`) == key("m", `["n"]`) {
		t.Error("method and parameters run together")
	}
}

// A batch is sent in part, with ids of our own, and put together again in its
// order with the ids of the caller.
func TestBatchRoundTrip(t *testing.T) {
	var b Batch
	body := `[{"jsonrpc":"2.0","id":"same","method":"a"},{"jsonrpc":"2.0","method":"note","params":[1]},` +
		`{"jsonrpc":"2.0","id":"same","method":"b","params":[2]},{"jsonrpc":"2.0","id":null,"method":"c"}]`
	if err := b.Parse([]byte(body)); err != nil {
		t.Fatal(err)
	}
	if b.Distinct() {
		t.Error("two calls with one id are told apart")
	}
	ask(&b, func(place int) bool { return place != 0 }) // the first one is stored
	sent := string(b.AppendRequest(nil))
	if want := `[{"jsonrpc":"2.0","method":"note","params":[1]},{"jsonrpc":"2.0","id":2,"method":"b","params":[2]},{"jsonrpc":"2.0","id":3,"method":"c"}]`; sent != want {
		t.Errorf("%s\nwant %s", sent, want)
	}
	answers := make([]Answer, 4)
	came := `[{"jsonrpc":"2.0","id":3,"error":{"code":-32601,"message":"no"}},{"id":2,"jsonrpc":"2.0","result":{"x":[1, 2]},"extra":true}]`
	if _, err := b.ParseAnswer([]byte(came), answers); err != nil {
		t.Fatal(err)
	}
	answers[0].Result = []byte(`"0x1"`)
	got := string(b.AppendAnswers(nil, answers))
	want := `[{"jsonrpc":"2.0","id":"same","result":"0x1"},{"id":"same","jsonrpc":"2.0","result":{"x":[1, 2]},"extra":true},` +
		`{"jsonrpc":"2.0","id":null,"error":{"code":-32601,"message":"no"}}]`
	if got != want || !json.Valid([]byte(got)) {
		t.Errorf("%s\nwant %s", got, want)
	}
	if answers[2].Plain() || answers[3].Plain() {
		t.Error("an error, or an answer with more than a result, is taken for a plain one")
	}
	var notes Batch
	if err := notes.Parse([]byte(`[{"jsonrpc":"2.0","method":"a"}]`)); err != nil || len(notes.AppendAnswers(nil, make([]Answer, 1))) > 0 {
		t.Errorf("a batch of notifications is answered; %v", err)
	}
	ask(&notes, all)
	if refused, err := notes.ParseAnswer(nil, make([]Answer, 1)); refused || err != nil {
		t.Errorf("no answer to notifications does not fit: %v", err)
	}
}

// A request that goes out as it came is answered under the caller's own ids; the
// order is that of the calls.
func TestAnswersByTheCallersIDs(t *testing.T) {
	var b Batch
	if err := b.Parse([]byte(`[{"jsonrpc":"2.0","id":7,"method":"a"},{"jsonrpc":"2.0","method":"note"},{"jsonrpc":"2.0","id":"7","method":"b"}]`)); err != nil || !b.Distinct() {
		t.Fatal(err)
	}
	ask(&b, all)
	answers := make([]Answer, 3)
	came := `[ {"result": 2 ,"jsonrpc":"2.0","id":"7"} , {"jsonrpc":"2.0","id":7,"error":{"code":1}}]`
	if _, err := b.ParseAnswer([]byte(came), answers); err != nil {
		t.Fatal(err)
	}
	if got, want := string(b.AppendAnswers(nil, answers)), `[{"jsonrpc":"2.0","id":7,"error":{"code":1}},{"result": 2 ,"jsonrpc":"2.0","id":"7"}]`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if answers[0].Plain() || !answers[2].Plain() || string(answers[2].Result) != "2" {
		t.Errorf("%+v", answers)
	}
	var one Batch
	if err := one.Parse([]byte(`{"jsonrpc":"2.0","id":"x","method":"a"}`)); err != nil {
		t.Fatal(err)
	}
	ask(&one, all)
	for came, fits := range map[string]bool{
		`{"jsonrpc":"2.0","result":5,"error":null,"id":"x"}`: true,
		`{"jsonrpc":"2.0","result":5,"id":0}`:                false,
		`{"jsonrpc":"2.0","error":{"code":1},"id":null}`:     false,
		`[{"jsonrpc":"2.0","result":5,"id":"x"}]`:            false,
	} {
		single := make([]Answer, 1)
		if refused, err := one.ParseAnswer([]byte(came), single); refused || (err == nil) != fits || fits && !single[0].Plain() {
			t.Errorf("%s: %v %v %+v", came, refused, err, single)
		}
	}
	for ids, want := range map[string]bool{`1 2`: true, `1 "1"`: true, `1 1`: false, `null 1`: false, `1.0 1`: true} {
		first, second, _ := strings.Cut(ids, " ")
		if err := b.Parse([]byte(`[{"jsonrpc":"2.0","id":` + first + `,"method":"a"},{"jsonrpc":"2.0","id":` + second + `,"method":"a"}]`)); err != nil || b.Distinct() != want {
			t.Errorf("%s: %v", ids, err)
		}
	}
}

func TestAnswersThatDoNotFit(t *testing.T) {
	var b Batch
	if err := b.Parse([]byte(`[{"jsonrpc":"2.0","id":1,"method":"a"},{"jsonrpc":"2.0","id":1,"method":"b"}]`)); err != nil {
		t.Fatal(err)
	}
	ask(&b, all)
	b.Own = true
	for _, came := range []string{
		`[]`, `{}`, `{"error":1}`, `{"id":0,"error":{}}`, `{"id":null,"result":1}`, `{"id":null,"id":1,"error":{}}`, ``, `<html>`, `[{"id":0,"result":1}]`, `[{"id":0,"result":1},{"id":0,"result":2}]`, `[{"id":0,"result":1},{"id":2,"result":2}]`, `[{"id":0,"result":1},{"id":"1","result":2}]`,
		`[{"id":0,"result":1},{"id":1}]`, `[{"id":0,"result":1},{"id":1,"id":0,"result":1}]`, `[{"id":0,"result":1},{"result":1}]`, `[1,2]`, `7`,
		`[{"id":0,"result":1},{"id":-1,"result":2}]`, `[{"id":-0,"result":1},{"id":1,"result":2}]`, `[{"id":0,"result":1},{"id":1,"result":2},{"id":1,"result":2}]`, `[{"id":0,"result":1,"result":2},{"id":1,"result":2}]`, `[{"id":0,"result":1},{"id":99999999999999999999,"result":2}]`,
	} {
		if refused, err := b.ParseAnswer([]byte(came), make([]Answer, 2)); refused || err == nil {
			t.Errorf("%s is accepted", came)
		}
	}
	for _, came := range []string{`{"jsonrpc":"2.0","id":null,"error":{"code":-32600}}`, `{"error":{"code":-32600}}`} {
		if refused, err := b.ParseAnswer([]byte(came), make([]Answer, 2)); err != nil || !refused {
			t.Errorf("a refusal of the whole batch: %s: %v", came, err)
		}
	}
}

func TestAnonymous(t *testing.T) {
	for body, want := range map[string]bool{
		"": true, "busy": true, "<html>": true, `{}`: true, `{"error":"x"}`: true, `{"id":null}`: true, `[]`: true, `"x"`: true, `{"a":{"id":1}}`: true,
		`{"id":1}`: false, `{"id":"x","error":{}}`: false, `{"id":null,"id":1}`: false, `{"id":null,"id":null}`: false, `[{"id":1}]`: false, `{"id":1} {"id":2}`: false, `{"id":1`: false,
	} {
		if Anonymous([]byte(body)) != want {
			t.Errorf("%s: %v", body, !want)
		}
	}
}

func TestClass(t *testing.T) {
	names := []string{"own_method"}
	for name := range rules {
		names = append(names, name)
	}
	m := NewMethods(names)
	for _, tc := range []struct {
		method, params string
		want           Class
	}{
		{"eth_chainId", `[]`, Fixed},
		{"eth_blockNumber", `[]`, Latest},
		{"eth_getBlockByHash", `["0xab",true]`, Fixed},
		{"eth_getBlockByNumber", `["0x10",true]`, Fixed},
		{"eth_getBlockByNumber", `["latest",true]`, Latest},
		{"eth_getBlockByNumber", `["safe",true]`, Latest},
		{"eth_getBlockByNumber", `["finalized",true]`, Latest},
		{"eth_getBlockByNumber", `["earliest",true]`, Fixed},
		{"eth_getBlockByNumber", `["pending",true]`, Never},
		{"eth_getBlockByNumber", `["\u0070ending",true]`, Never},
		{"eth_getBlockByNumber", `["0x",true]`, Never},
		{"eth_getBlockByNumber", `["0xzz",true]`, Never},
		{"eth_getBlockByNumber", `[16,true]`, Never},
		{"eth_call", `[{"to":"0x1"}]`, Latest},
		{"eth_call", `[{"to":"0x1"},"0x10"]`, Fixed},
		{"eth_call", `[{"to":"0x1"}, null]`, Latest},
		{"eth_call", `[{"to":"0x1"},{"blockHash":"0xab"}]`, Fixed},
		{"eth_call", `[{"to":"0x1"},{"blockNumber":"latest"}]`, Latest},
		{"eth_call", `[{"to":"0x1"},{"blockNumber":"0x1"}]`, Fixed},
		{"eth_call", `[{"to":"0x1"},{"blockNumber":{"blockNumber":"0x1"}}]`, Never},
		{"eth_call", `[{"to":"0x1"},{}]`, Never},
		{"eth_call", `{"to":"0x1"}`, Never},
		{"eth_getStorageAt", `["0x1","0x0","0x10"]`, Fixed},
		{"eth_getStorageAt", `["0x1","0x0"]`, Latest},
		{"eth_getBalance", `["0x1","latest"]`, Latest},
		{"eth_getLogs", `[{"fromBlock":"0x1","toBlock":"0x2"}]`, Latest},
		{"eth_getLogs", `[{"fromBlock":"0x1","toBlock":"pending"}]`, Never},
		{"eth_getLogs", `[{"fromBlock":"\u0070ending"}]`, Never},
		{"own_method", `[]`, Latest},
		{"own_method", `{"block":"pending"}`, Never},
		{"eth_sendRawTransaction", `["0x1"]`, Never},
		{"eth_subscribe", `["newHeads"]`, Never},
		{"ETH_CHAINID", `[]`, Never},
	} {
		c := Call{ID: []byte("1"), Method: []byte(tc.method), Params: []byte(tc.params)}
		if got := m.Class(&c); got != tc.want {
			t.Errorf("%s %s: %d, want %d", tc.method, tc.params, got, tc.want)
		}
		if c.ID = nil; m.Class(&c) != Never {
			t.Errorf("%s as a notification is stored", tc.method)
		}
	}
	if NewMethods(nil).Class(&Call{ID: []byte("1"), Method: []byte("eth_chainId")}) != Never {
		t.Error("a method that is not on the list is stored")
	}
}

func TestKeeps(t *testing.T) {
	m := NewMethods([]string{"eth_getTransactionReceipt", "eth_getTransactionByHash", "eth_getBlockByNumber", "eth_getLogs"})
	for _, tc := range []struct {
		method, result string
		want           bool
	}{
		{"eth_getBlockByNumber", `{"number":"0x1"}`, true},
		{"eth_getBlockByNumber", `null`, false},
		{"eth_getLogs", `[]`, true},
		{"eth_getTransactionReceipt", `null`, false},
		{"eth_getTransactionReceipt", `{"blockHash":"0xab"}`, true},
		{"eth_getTransactionByHash", `{"blockHash":null,"blockNumber":null}`, false},
		{"eth_getTransactionByHash", `{"blockNumber":"0x1"}`, false},
		{"eth_getTransactionByHash", `[]`, false},
		{"eth_chainId", `"0x1"`, false}, // not on the list
	} {
		if got := m.Keeps(&Call{Method: []byte(tc.method)}, []byte(tc.result)); got != tc.want {
			t.Errorf("%s %s: %v", tc.method, tc.result, got)
		}
	}
	if m.Keeps(&Call{Method: []byte("eth_getLogs")}, nil) {
		t.Error("an error is kept")
	}
}

// Whatever JSON there is: the scanner accepts what the standard library does, up
// to its depth, and compacting changes nothing but white space.
func TestScannerAgainstStandardLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := []byte(rapid.StringMatching(`[\[\]{},:" 01.eE+\-\\untrlfase]{0,40}`).Draw(t, "text"))
		compare(t, text)
	})
}

func compare(t interface{ Fatalf(string, ...any) }, text []byte) {
	v, rest, err := value(text)
	accepted := err == nil && len(skipSpace(rest)) == 0
	if valid := json.Valid(text); accepted != valid && !(valid && deep(text)) {
		t.Fatalf("%q: accepted %v, want %v", text, accepted, valid)
	}
	if !accepted {
		return
	}
	var want bytes.Buffer
	if err := json.Compact(&want, text); err != nil || !bytes.Equal(appendCompact(nil, v), want.Bytes()) {
		t.Fatalf("%q: %q, want %q, %v", text, appendCompact(nil, v), want.Bytes(), err)
	}
}

func deep(text []byte) bool {
	return bytes.Count(text, []byte("["))+bytes.Count(text, []byte("{")) > maxDepth
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{"to":"0x1"},"latest"]}`,
		`[{"jsonrpc":"2.0","id":"a","method":"m"},{"jsonrpc":"2.0","method":"n","params":{"a":[1,2.5e-3,true,null,"\u00e9\\"]}}]`,
		`{"id":0,"result":{"blockHash":"0xab"}}`, `[[[[]]],{}]`, `{"a":{"b":[]}}`, `[`, `{"a":1,}`, "\"\\", `[-]`, `{"":0}`,
	} {
		f.Add([]byte(seed), []byte(`[{"id":0,"result":1}]`))
	}
	m := NewMethods([]string{"eth_call", "m", "eth_getTransactionByHash"})
	f.Fuzz(func(t *testing.T, body, came []byte) {
		compare(t, body)
		var b Batch
		if b.Parse(body) != nil {
			return
		}
		ask(&b, all)
		var count Counter
		if calls := count.Add(body); b.IsArray && calls != len(b.Calls) || !b.IsArray && calls != 0 {
			t.Fatalf("%q: %d calls are counted, %d read", body, calls, len(b.Calls))
		}
		checkAnswer(t, &b, body, came) // under the caller's ids
		sent := b.AppendRequest(nil)
		var again Batch
		if err := again.Parse(sent); err != nil || len(again.Calls) != len(b.Calls) || again.IsArray != b.IsArray {
			t.Fatalf("%q: what is sent cannot be read: %q, %v", body, sent, err)
		}
		for i := range b.Calls {
			if !bytes.Equal(b.Calls[i].AppendKey(nil), again.Calls[i].AppendKey(nil)) {
				t.Fatalf("%q: call %d is sent as %q", body, i, sent)
			}
			m.Class(&b.Calls[i])
			m.Keeps(&b.Calls[i], came)
		}
		checkAnswer(t, &b, body, came)
	})
}

// checkAnswer: what fits becomes one valid answer, in which no id is of anybody
// but the caller.
func checkAnswer(t *testing.T, b *Batch, body, came []byte) {
	answers := make([]Answer, len(b.Calls))
	refused, err := b.ParseAnswer(came, answers)
	if err != nil || refused {
		return
	}
	out := b.AppendAnswers(nil, answers)
	if len(out) == 0 {
		return
	}
	if !json.Valid(out) {
		t.Fatalf("%q, %q: answer %q", body, came, out)
	}
	list := out
	if b.IsArray {
		list = inner(out)
	}
	for i := range b.Calls {
		if b.Calls[i].ID == nil {
			continue
		}
		one, rest, ok := element(list)
		if !ok || !bytes.Equal(lookup(one, "id"), b.Calls[i].ID) {
			t.Fatalf("%q, %q: answer %q", body, came, out)
		}
		list = rest
	}
	if len(skipSpace(list)) > 0 {
		t.Fatalf("%q, %q: answer %q", body, came, out)
	}
}

func TestCounter(t *testing.T) {
	for body, want := range map[string]int{
		"": 0, "7": 0, `{"a":[1,2]}`: 0, "[]": 0, "[ ]": 0, "[1]": 1, " \n[1,2,3] ": 3, `["a,b"]`: 1, `["\",\\",2]`: 2, "[[1,2],[3]]": 2, "[1,2],3,4": 2,
		`[{"a":[1,2],"b":{"c":3,"d":4}},{}]`: 2, "\ufeff[1,2]": 2, `["` + strings.Repeat("x", 100) + `",2]`: 2, "[" + strings.Repeat("[", 9000) + ",1": 1, `x[1,2]`: 0,
	} {
		var whole, pieces Counter
		n := 0
		for i := range body {
			n = pieces.Add([]byte(body[i : i+1]))
		}
		if got := whole.Add([]byte(body)); got != want || len(body) > 0 && n != 0 && n != want {
			t.Errorf("%.40q: %d, in pieces %d, want %d", body, got, n, want)
		}
	}
}

func TestOrderOfAnswers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "calls")
		var calls []string
		for i := range n {
			calls = append(calls, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"m%d"}`, 100+i, i))
		}
		var b Batch
		if err := b.Parse([]byte("[" + strings.Join(calls, ",") + "]")); err != nil {
			t.Fatal(err)
		}
		stored := rapid.SliceOfN(rapid.Bool(), n, n).Draw(t, "stored")
		ask(&b, func(i int) bool { return !stored[i] })
		b.Own = true
		answers := make([]Answer, n)
		var came, want []string
		for i := range n {
			want = append(want, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":%d}`, 100+i, i))
			if b.Calls[i].Asked {
				came = append(came, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":%d}`, i, i))
			} else {
				answers[i].Result = fmt.Appendf(nil, "%d", i)
			}
		}
		came = rapid.Permutation(slices.Clone(came)).Draw(t, "order")
		if _, err := b.ParseAnswer([]byte("["+strings.Join(came, ",")+"]"), answers); err != nil {
			t.Fatal(err)
		}
		if got := string(b.AppendAnswers(nil, answers)); got != "["+strings.Join(want, ",")+"]" {
			t.Fatalf("%s", got)
		}
	})
}

// The methods that a provider caches by default are ones that we know.
func TestDefaultMethodsAreKnown(t *testing.T) {
	for _, name := range config.Default().Providers["alchemy"].JSONRPC.CacheMethods {
		if _, ok := rules[name]; !ok {
			t.Errorf("%s has no rule", name)
		}
	}
}
