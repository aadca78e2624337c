// A limit is changed once a second while requests come: none is lost, and every
// change is in force on every node within seconds. Needs CONTROL and TOKEN.
import { sleep } from 'k6';
import { Trend } from 'k6/metrics';
import { mixed, arrival, borrow, giveBack, change, ok, duration, percentiles, summary } from './lib.js';

const applied = new Trend('our_ms_until_applied_everywhere', true);

export const options = {
  scenarios: {
    load: { ...arrival(200, '30s'), exec: 'load' },
    changes: { executor: 'constant-vus', vus: 1, duration: duration || '30s', exec: 'changes' },
  },
  summaryTrendStats: percentiles,
  thresholds: { answered_5xx_or_nothing: ['rate==0'], answered_429: ['rate==0'], checks: ['rate==1'], our_ms_until_applied_everywhere: ['p(99)<5000'] },
};
export const handleSummary = summary('config_change');

export function setup() { return borrow('global', { rate: 1000, burst: 2000 }); }
export function load() { mixed(); }
export function changes() {
  const res = change('PUT', '/api/v1/limits/global?wait=5s', { rate: 1000 + (__ITER % 2) * 100, burst: 2000 });
  ok(res, 'a change', { 'is published': (r) => r.status === 200 && r.json().revision > 0, 'is applied by every node': (r) => r.json().applied === r.json().nodes });
  applied.add(res.timings.duration);
  sleep(1);
}
export const teardown = giveBack;
