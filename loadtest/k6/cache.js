// Repeated GETs: most are answered from memory, and do not reach the provider.
import { Gauge } from 'k6/metrics';
import { get, arrival, reset, arrivals, percentiles, summary } from './lib.js';

const saved = new Gauge('our_percent_answered_from_the_cache');
const paths = Number(__ENV.PATHS || 50);

export const options = {
  scenarios: { cache: arrival(400, '20s') }, summaryTrendStats: percentiles,
  thresholds: { http_req_failed: ['rate==0'], our_percent_answered_from_the_cache: ['value>90'], 'http_req_duration{name:coingecko}': ['p(95)<50'] },
};
export const handleSummary = summary('cache');

export function setup() { reset(); return { began: Date.now() }; }
export default function () { get('/coingecko/test?n=' + Math.floor(Math.random() * paths), { tags: { name: 'coingecko' } }); }
export function teardown(before) {
  const sent = options.scenarios.cache.rate * ((Date.now() - before.began) / 1000);
  saved.add(100 * (1 - arrivals('coingecko').arrivals / sent));
}
