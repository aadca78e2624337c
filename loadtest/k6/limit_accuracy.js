// More than one provider's limit, at a constant rate: what arrives is what the
// limit says, and what is refused is the rest. LIMIT_RATE and LIMIT_BURST are the
// limit's; HOLDERS is how many nodes hold it each by itself: 1 in a cluster.
import { Gauge } from 'k6/metrics';
import { get, arrival, expectLimits, reset, arrivals, transit, seconds, duration, percentiles, summary } from './lib.js';

const r = Number(__ENV.LIMIT_RATE || 300), holders = Number(__ENV.HOLDERS || 1), burst = Number(__ENV.LIMIT_BURST || 500);
const excess = new Gauge('our_arrivals_beyond_the_limit'), unused = new Gauge('our_percent_of_the_limit_unused'), got = new Gauge('our_arrivals');

// The part that a bucket which begins full has to refuse of twice the limit.
const accuracy = arrival(2 * r * holders, duration || '20s'), refused = Math.max(0, 0.5 - burst / (2 * r * seconds(accuracy.duration)));

export const options = {
  scenarios: { accuracy: accuracy }, summaryTrendStats: percentiles,
  thresholds: { http_req_failed: ['rate==0'], answered_429: ['rate>' + (refused - 0.05), 'rate<' + (refused + 0.05)], our_arrivals_beyond_the_limit: ['value<=0'], our_percent_of_the_limit_unused: ['value<5'] },
};
export const handleSummary = summary('limit_accuracy');

export const setup = reset;
export default function () { expectLimits(); get('/zerion/test?n=' + __VU + '.' + __ITER + '.' + Date.now(), { tags: { name: 'zerion' } }); } // never from the cache
export function teardown() {
  const a = arrivals('zerion');
  // Arrivals are as far apart as admissions, but for the time on the way.
  const span = (a.last_ns - a.first_ns) / 1e9;
  const most = holders * (r * (span + transit) + burst);
  got.add(a.arrivals);
  excess.add(Math.max(0, a.arrivals - most));
  unused.add(100 * Math.max(0, 1 - a.arrivals / (holders * (r * span + burst))));
}
