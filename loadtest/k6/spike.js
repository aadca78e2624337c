// From little to much within a second, and back: the burst serves the first moments,
// the limit the rest. RATE is the height of the spike; the global limit is a quarter
// of it meanwhile. Needs CONTROL and TOKEN.
import { Gauge } from 'k6/metrics';
import { mixed, ramp, expectLimits, borrow, giveBack, reset, beyond, rate, percentiles, summary } from './lib.js';

const top = rate || 2000, limit = { rate: top / 4, burst: top / 2 };
const excess = new Gauge('our_arrivals_beyond_the_limit');

export const options = {
  scenarios: { spike: ramp(top, [[0.025, '10s'], [1, '1s'], [1, '10s'], [0.025, '1s'], [0.025, '20s']]) }, summaryTrendStats: percentiles,
  thresholds: { answered_5xx_or_nothing: ['rate==0'], http_req_failed: ['rate==0'], answered_429: ['rate>0'], our_arrivals_beyond_the_limit: ['value<=0'], http_req_duration: ['p(99)<1000'] },
};
export const handleSummary = summary('spike');
export function setup() { const before = borrow('global', limit); reset(); return before; }
export default function () { expectLimits(); mixed(); }
export function teardown(before) { excess.add(beyond(limit)); giveBack(before); }
