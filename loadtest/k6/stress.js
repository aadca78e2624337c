// More than the limit allows, up to four times: the rest is refused at once, and
// nothing breaks. RATE is the highest rate; the global limit is a quarter of it
// meanwhile, so choose what the machine can send. Needs CONTROL and TOKEN.
import { Gauge } from 'k6/metrics';
import { mixed, ramp, expectLimits, borrow, giveBack, reset, beyond, rate, percentiles, summary } from './lib.js';

const top = rate || 4000, limit = { rate: top / 4, burst: top / 2 };
const excess = new Gauge('our_arrivals_beyond_the_limit');

export const options = {
  scenarios: { stress: ramp(top, [[0.08, '10s'], [0.25, '15s'], [0.5, '15s'], [1, '20s'], [0.08, '10s']]) }, summaryTrendStats: percentiles,
  thresholds: { answered_5xx_or_nothing: ['rate==0'], http_req_failed: ['rate==0'], answered_429: ['rate>0'], our_arrivals_beyond_the_limit: ['value<=0'], http_req_duration: ['p(99)<2000'] },
};
export const handleSummary = summary('stress');
export function setup() { const before = borrow('global', limit); reset(); return before; }
export default function () { expectLimits(); mixed(); }
export function teardown(before) { excess.add(beyond(limit)); giveBack(before); }
