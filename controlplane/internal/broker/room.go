package broker

import (
	"time"

	"apiproxy.internal/controlplane/internal/kv"
)

// The server's store does not survive a write that fails: from then on it answers
// nothing for the bucket, with room again or not. So a write that has no room is
// refused before the server sees it; and if one fails all the same, because others
// fill the disk too, the server is restarted once there is room. What it has
// acknowledged is on the disk; what is in memory is lost, as with any restart.

// margin is what a write may need beyond its value: blocks, indices, the server's
// own notes.
const margin = 256 << 10

// room says kv.ErrFull if a value should not be written now.
func (b *Broker) room(size int) error {
	if b.broken.Load() || free(b.opts.DataDir) < int64(2*size+margin) {
		return kv.ErrFull
	}
	return nil
}

// injured is told by the server's log.
func (b *Broker) injured() {
	b.broken.Store(true)
	select {
	case b.injury <- struct{}{}:
	default:
	}
}

// heal restarts the server when it can write no more and the disk has room.
func (b *Broker) heal() {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-b.closing.Done():
			return
		case <-b.injury:
		}
		b.log.Error("the disk failed under the store: writes are refused until it has room, then the NATS server is restarted", "data_dir", b.opts.DataDir)
		for b.broken.Load() {
			select {
			case <-b.closing.Done():
				return
			case <-tick.C:
			}
			if free(b.opts.DataDir) < 2*margin {
				continue
			}
			if err := b.server.restart(); err != nil {
				b.log.Error("the NATS server cannot be restarted yet", "error", err)
				continue
			}
			b.broken.Store(false)
			b.log.Warn("the NATS server was restarted")
		}
	}
}
