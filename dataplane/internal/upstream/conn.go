package upstream

import (
	"bufio"
	"crypto/tls"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// maxPiece bounds what is handed to the network under one send timeout, in
// bytes; it is the size of a TLS record.
const maxPiece = 16 << 10

// Conn is one connection to the upstream, used by one exchange, and so by one
// goroutine, at a time.
type Conn struct {
	R *bufio.Reader // reads through the silence timeout

	raw       net.Conn // TLS, or the transport itself
	transport net.Conn
	pool      *Pool
	timeouts  Timeouts
	limit     time.Time // no exchange goes on after it; zero = no limit
	born      time.Time
	idleFrom  time.Duration // since born
	reused    bool
	wrote     bool // any request byte of this exchange left
	received  bool // any response byte of this exchange arrived
	inUse     atomic.Bool

	// Deadlines as times since born: reading the monotonic clock alone costs half
	// of time.Now. 0 = none known.
	readArmed, writeArmed time.Duration

	// For alive, kept so that it need not allocate.
	socket syscall.RawConn  // nil if there is no system socket below
	peek   func(fd uintptr) // sets quiet
	quiet  bool
	probe  [1]byte
}

func newConn(transport, raw net.Conn, p *Pool) *Conn {
	c := &Conn{raw: raw, transport: transport, pool: p, born: time.Now()}
	c.R = bufio.NewReaderSize(reader{c}, bufferSize)
	if sc, ok := transport.(syscall.Conn); ok {
		c.socket, _ = sc.SyscallConn()
	}
	c.peek = func(fd uintptr) {
		_, _, err := syscall.Recvfrom(int(fd), c.probe[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		c.quiet = err == syscall.EAGAIN
	}
	return c
}

// Reused reports that the connection served an earlier exchange, so the
// upstream may have closed it meanwhile.
func (c *Conn) Reused() bool { return c.reused }

// Wrote reports that a byte of this exchange's request was handed to the
// network.
func (c *Conn) Wrote() bool { return c.wrote }

// Received reports that a byte of this exchange's response arrived.
func (c *Conn) Received() bool { return c.received }

// begin prepares the connection for an exchange that ends at limit at the
// latest (zero = open-ended).
func (c *Conn) begin(t Timeouts, limit time.Time) {
	if limit != c.limit || t != c.timeouts {
		// Deadlines that were armed for other bounds say nothing any more.
		c.readArmed, c.writeArmed = 0, 0
	}
	c.timeouts, c.limit = t, limit
	c.wrote, c.received = false, false
	c.inUse.Store(true)
}

// SetLimit moves the end of the exchange, as Get's limit has it. It belongs to the
// goroutine that uses the connection.
func (c *Conn) SetLimit(limit time.Time) { c.limit = limit }

// Write implements io.Writer. The send timeout holds for each piece of a long
// write, so that an upstream that takes it slowly is not taken for a silent one.
func (c *Conn) Write(p []byte) (written int, err error) {
	for {
		piece := p[written:min(written+maxPiece, len(p))]
		if err = c.arm(&c.writeArmed, c.timeouts.Send, c.raw.SetWriteDeadline); err != nil {
			return written, err
		}
		n, err := c.raw.Write(piece)
		written += n
		c.wrote = c.wrote || n > 0
		if err != nil || written == len(p) {
			return written, err
		}
	}
}

// reader is what R reads from; a type of its own keeps Read off Conn, where it
// would bypass R's buffer.
type reader struct{ c *Conn }

func (r reader) Read(p []byte) (int, error) {
	c := r.c
	if err := c.arm(&c.readArmed, c.timeouts.Read, c.raw.SetReadDeadline); err != nil {
		return 0, err
	}
	n, err := c.raw.Read(p)
	if n > 0 {
		c.received = true
	}
	return n, err
}

// arm sets a deadline for an operation that may be silent for d. Setting one
// costs more than the rest of a small read, so a deadline is armed an eighth
// too long and left alone until less than d remains: a timeout comes between d
// and d*9/8, and a busy connection sets one deadline per d/8 instead of one per
// read. With TLS a record counts when all of it has arrived.
func (c *Conn) arm(armed *time.Duration, d time.Duration, set func(time.Time) error) error {
	now := time.Since(c.born)
	want := now + d
	if !c.limit.IsZero() {
		if end := c.limit.Sub(c.born); end < want+d/8 {
			return c.armUntil(armed, end, set)
		}
	}
	if *armed >= want {
		return nil
	}
	return c.armUntil(armed, want+d/8, set)
}

func (c *Conn) armUntil(armed *time.Duration, end time.Duration, set func(time.Time) error) error {
	if *armed == end {
		return nil
	}
	*armed = end
	return set(c.born.Add(end))
}

// alive looks, without waiting, whether the upstream closed the idle connection
// or sent something unasked, which would pass for the next answer. It costs one
// system call. A connection without a system socket below counts as alive.
func (c *Conn) alive() bool {
	if _, secure := c.raw.(*tls.Conn); secure && !c.drained() {
		return false
	}
	if c.socket == nil {
		return true
	}
	c.quiet = false
	// Not Read: that fails once the deadline of the last exchange has passed.
	err := c.socket.Control(c.peek)
	return err == nil && c.quiet
}

// drained reports that TLS holds nothing that it has taken from the socket: a
// read whose deadline has passed returns only that.
func (c *Conn) drained() bool {
	c.readArmed = 0
	if c.raw.SetReadDeadline(time.Unix(1, 0)) != nil {
		return false
	}
	n, err := c.raw.Read(c.probe[:])
	return n == 0 && isTimeout(err)
}

// Cancel breaks off the exchange from another goroutine: its reads and writes end
// with net.ErrClosed. The user still has to Release the connection. TLS is not
// told: it would wait to say good-bye.
func (c *Conn) Cancel() { _ = c.transport.Close() }

// Release ends the exchange: a connection that may serve another one goes back
// to the pool, any other one is closed. Nothing of c may be used after it. A
// second call is ignored as long as c does not serve again; later it would end
// the exchange of another.
func (c *Conn) Release(reusable bool) {
	if !c.inUse.CompareAndSwap(true, false) {
		return
	}
	c.pool.release(c, reusable)
}
