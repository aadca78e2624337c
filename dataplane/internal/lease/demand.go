package lease

import (
	"math"

	"apiproxy.internal/shared/quota"
)

// demand estimates what the callers want, admitted or not, from counts that
// only grow. The slow average is over about a hundred requests, 0.2 to 2 s, so
// that shares do not follow the noise; the fast one is over two ticks.
type demand struct {
	count      int64 // micro-tokens taken and refused so far
	at         int64 // of the last sample
	active     int64 // last moment with any
	fast, slow float64
}

const (
	fastSpan = 2 * quota.Tick
	slowMost = 2.0 // seconds
	slowMin  = 0.2
	slowHits = 100 * quota.Token
)

func (d *demand) sample(now, count int64) {
	elapsed := now - d.at
	if elapsed < quota.Tick/50 {
		return
	}
	rate := d.rate(now, count)
	d.at = now
	if count > d.count {
		d.count, d.active = count, now
	}
	seconds := float64(elapsed) / quota.Second
	span := min(slowMost, max(slowMin, slowHits/max(d.slow, 1)))
	d.fast += (1 - math.Exp(-seconds*quota.Second/fastSpan)) * (rate - d.fast)
	d.slow += (1 - math.Exp(-seconds/span)) * (rate - d.slow)
}

// rate is what came since the last sample, per second. A count that went back
// a little (see limit.Bucket.Counts) reads as nothing.
func (d *demand) rate(now, count int64) float64 {
	elapsed := max(now-d.at, quota.Tick/10)
	return float64(max(count-d.count, 0)) / float64(elapsed) * quota.Second
}

func (d *demand) idle(now int64) int64 { return now - d.active }

func whole(x float64) int64 { return int64(min(max(x, 0), quota.MaxDemand)) }
