// Repeated GETs: each of the PATHS reaches the provider once for each node (HOLDERS)
// and cache_ttl; the other answers are from memory. DURATION is at most one cache_ttl.
import { Counter, Gauge } from 'k6/metrics';
import { get, arrival, reset, arrivals, percentiles, summary } from './lib.js';

const hits = new Counter('our_hits'), arrived = new Gauge('our_arrivals_at_the_provider');
const paths = Number(__ENV.PATHS || 50), holders = Number(__ENV.HOLDERS || 3);

export const options = {
  scenarios: { cache: arrival(400, '20s') }, summaryTrendStats: percentiles,
  thresholds: { http_req_failed: ['rate==0'], our_hits: ['count>0'], our_arrivals_at_the_provider: ['value<=' + 2 * paths * holders], 'http_req_duration{name:coingecko}': ['p(95)<50'] },
};
export const handleSummary = summary('cache');

export function setup() { reset(); }
export default function () {
  const res = get('/coingecko/test?n=' + Math.floor(Math.random() * paths), { tags: { name: 'coingecko' } });
  if ((res.headers['Cache-Status'] || '').includes('; hit')) hits.add(1);
}
export function teardown() { arrived.add(arrivals('coingecko').arrivals); }
