// The same load for long: no failure, and no growth of memory or files from when
// the load is steady until its end. PROMETHEUS is its URL, for nodes behind a
// balancer; else the PROXYs are asked.
import http from 'k6/http';
import { sleep } from 'k6';
import { Counter, Gauge } from 'k6/metrics';
import { mixed, arrival, seconds, proxies, percentiles, summary } from './lib.js';

const growth = new Gauge('our_memory_growth_percent'), files = new Gauge('our_more_open_files'), measurements = new Counter('our_measurements');
const soak = arrival(200, '30m');

export const options = {
  scenarios: { soak: soak, watch: { executor: 'per-vu-iterations', vus: 1, iterations: 1, maxDuration: '24h', exec: 'watch' } }, summaryTrendStats: percentiles,
  thresholds: { http_req_failed: ['rate<0.0001'], http_req_duration: ['p(99)<500'], our_memory_growth_percent: ['value<50'], our_more_open_files: ['value<50'], our_measurements: ['count==1'] },
};
export const handleSummary = summary('soak');
export default mixed;

function sum(name) {
  if (__ENV.PROMETHEUS) return Number(http.get(__ENV.PROMETHEUS + '/api/v1/query?query=sum(' + name + '{job="api-proxy"})').json().data.result[0].value[1]);
  return proxies.map((p) => Number((http.get(p + '/metrics').body.match(new RegExp('^' + name + ' (\\S+)', 'm')) || [0, 0])[1])).reduce((a, b) => a + b, 0);
}

export function watch() {
  const length = seconds(soak.duration), settle = Math.min(60, length / 3);
  sleep(settle);
  const memory = sum('process_resident_memory_bytes'), open = sum('process_open_fds');
  sleep(length - settle - 1);
  growth.add(100 * (sum('process_resident_memory_bytes') / memory - 1));
  files.add(sum('process_open_fds') - open);
  measurements.add(1);
}
