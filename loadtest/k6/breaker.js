// The life of a breaker: a provider fails, the breaker opens and spares it, the
// provider recovers, the breaker closes by itself. BREAKER_TIMEOUT is the
// configuration's, in seconds.
import http from 'k6/http';
import { sleep } from 'k6';
import { get, ok, fault, noFaults, arrivals, proxies, percentiles, summary } from './lib.js';

const timeout = Number(__ENV.BREAKER_TIMEOUT || 30);

export const options = { vus: 1, iterations: 1, summaryTrendStats: percentiles, thresholds: { checks: ['rate==1'] } };
export const handleSummary = summary('breaker');

// A balancer asks another node each time.
const asked = proxies.length > 1 ? proxies : Array(12).fill(proxies[0]);
const states = () => asked.map((p) => http.get(p + '/circuit-breaker-stats').json().coingecko.state);
const all = (state) => states().every((s) => s === state);
let n = 0;
function ask(path) { n += 1; return get('/coingecko/' + (path || 'test') + '?n=' + n); }

export default function () {
  http.setResponseCallback(null);
  ok(ask(), 'before', { 'is 200': (r) => r.status === 200 });
  fault({ provider: 'coingecko', error_rate: 1, status: 503 });
  for (let i = 0; i < 60 * proxies.length && !all('open'); i++) { ask(); sleep(0.05); }
  ok(null, 'after failures', { 'every node is open': () => all('open') });
  const before = arrivals('coingecko').arrivals;
  for (let i = 0; i < 20; i++) {
    ok(ask(), 'open', { 'is 503 at once': (r) => r.status === 503 && r.timings.duration < 500, 'says when to come again': (r) => Number(r.headers['Retry-After']) >= 1 });
  }
  ok(null, 'open', { 'nothing reaches the provider': () => arrivals('coingecko').arrivals === before });
  noFaults();
  sleep(timeout + 1);
  for (let i = 0; i < 100 && !all('closed'); i++) { ask(); sleep(0.05); }
  ok(null, 'afterwards', { 'every node is closed': () => all('closed') });
  ok(ask(), 'afterwards', { 'is 200': (r) => r.status === 200 });
}
export function teardown() { noFaults(); }
