package node

import (
	"log/slog"
	"net"
	"strconv"
	"time"

	"apiproxy.internal/dataplane/internal/upstream"
	"apiproxy.internal/shared/config"
)

// capped is a listener that holds its connections to the caps of the
// configuration and outlives a shortage of file descriptors, which would end
// the server's loop.
type capped struct {
	net.Listener
	conns  *conns
	limits func() config.Server // asked at each accept
	refuse func(net.Conn)       // answers and closes one that is too many
	log    *slog.Logger
	warned time.Time
}

// acceptPause is the wait after a failed accept: closing connections free
// descriptors at any moment.
const acceptPause = 10 * time.Millisecond

// Accept waits for the next connection within the caps.
func (l *capped) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if upstream.IsShortage(err) {
			l.warn(err)
			time.Sleep(acceptPause)
			continue
		}
		if err != nil {
			return nil, err
		}
		limits := l.limits()
		if known, ok := l.conns.add(c, limits.MaxConnections, limits.MaxConnectionsPerIP); ok {
			return known, nil
		}
		l.refuse(c)
	}
}

func (l *capped) warn(err error) {
	if now := time.Now(); now.Sub(l.warned) > time.Minute {
		l.warned = now
		l.log.Error("cannot accept connections; raise the limit of open files (ulimit -n) or lower server.max_connections", "error", err.Error())
	}
}

// refuseConn answers a connection beyond the caps. Its request is not read; it
// is recorded as one all the same.
func (n *Node) refuseConn(c net.Conn, plain bool) {
	id := randomHex(16)
	if plain { // a few bytes always fit into the buffer of a new connection
		_, _ = c.Write(tooManyConnections(id))
	}
	n.proxy.RecordRefused(c.RemoteAddr(), id)
	_ = c.Close()
	if skipped, tell := n.failures.count(capsReached, n.clock()); tell {
		n.log.Warn("connection refused by server.max_connections or max_connections_per_ip", "client", c.RemoteAddr().String(), "similar_before", skipped)
	}
}

// capsReached counts among the failures; no provider has this name.
const capsReached = "(connections)"

func tooManyConnections(id string) []byte {
	body := `{"type":"about:blank","title":"Service Unavailable","status":503,` +
		`"detail":"the node has as many connections as server.max_connections or max_connections_per_ip allows",` +
		`"error_type":"overload","provider":"none","request_id":"` + id + `","retry_after":1}` + "\n"
	return []byte("HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nConnection: close\r\n" +
		"Retry-After: 1\r\nX-Proxy-Request-ID: " + id + "\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
}
