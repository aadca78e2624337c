package forward
import ("testing";"apiproxy.internal/dataplane/internal/http1";"apiproxy.internal/dataplane/internal/route";"bufio";"bytes";"strings")
var block = []byte("Host: proxy.test:8080\r\nUser-Agent: curl/8\r\nAccept: */*\r\nAccept-Encoding: gzip\r\nContent-Type: application/json\r\nX-Forwarded-For: 192.0.2.1\r\nX-Request-ID: abc\r\nConnection: keep-alive\r\nCookie: a=b\r\nIf-None-Match: x\r\n")
func BenchmarkParseFields(b *testing.B){ var f []http1.Field; for b.Loop(){ f,_=http1.ParseFields(f[:0],block)} }
func BenchmarkCheckRequest(b *testing.B){ f,_:=http1.ParseFields(nil,block); for b.Loop(){ _=http1.CheckRequest([]byte("HTTP/1.1"),f)} }
func BenchmarkSplitPlain(b *testing.B){ t:=[]byte("/coingecko/api/v3/simple/price?ids=bitcoin&vs=usd"); for b.Loop(){ route.Split(t)} }
func BenchmarkSplitEscaped(b *testing.B){ t:=[]byte("/coingecko/api/v3/x%2Fy/p.json?ids=bitcoin&vs=usd"); for b.Loop(){ route.Split(t)} }
func BenchmarkSplitWorst(b *testing.B){ t:=[]byte("/"+strings.Repeat("%25",21000)); for b.Loop(){ route.Split(t)} }
func BenchmarkAppendHead(b *testing.B){ f,_:=http1.ParseFields(nil,block); r:=Request{Method:[]byte("GET"),Host:"api.test",Path:[]byte("/v1/x"),Query:[]byte("a=1&b=2"),Fields:f,BodyLength:NoBody,Credential:compile(b,query)}; var d []byte; for b.Loop(){ d=AppendHead(d[:0],&r)} }
func BenchmarkAppendHeadHostile(b *testing.B){ l:=append([]byte("Connection: "+strings.Repeat("a,",30000)+"\r\n"),bytes.Repeat([]byte("a: b\r\n"),255)...); f,err:=http1.ParseFields(nil,l); if err!=nil{b.Fatal(err)}; r:=Request{Method:[]byte("GET"),Host:"api.test",Path:[]byte("/v1/x"),Fields:f,BodyLength:NoBody,Credential:compile(b,query)}; var d []byte; for b.Loop(){ d=AppendHead(d[:0],&r)} }
func BenchmarkResponse(b *testing.B){ w:=[]byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: x\r\nContent-Length: 5\r\nServer: y\r\nCache-Control: z\r\nVary: q\r\nCF-RAY: 1\r\n\r\nhello"); s:=bytes.NewReader(w); br:=bufio.NewReader(s); var r http1.Response; for b.Loop(){ s.Reset(w); br.Reset(s); r.Read(br,false)} }
