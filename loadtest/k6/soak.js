// The same load for long: no failure, and no growth of memory or files. PROMETHEUS
// is its URL, for nodes behind a balancer; else the PROXYs are asked.
import http from 'k6/http';
import { Gauge } from 'k6/metrics';
import { mixed, arrival, proxies, percentiles, summary } from './lib.js';

const growth = new Gauge('our_memory_growth_percent'), files = new Gauge('our_more_open_files');

export const options = {
  scenarios: { soak: arrival(200, '30m') }, summaryTrendStats: percentiles,
  thresholds: { http_req_failed: ['rate<0.0001'], http_req_duration: ['p(99)<500'], our_memory_growth_percent: ['value<50'], our_more_open_files: ['value<200'] },
};
export const handleSummary = summary('soak');

function sum(name) {
  if (__ENV.PROMETHEUS) return Number(http.get(__ENV.PROMETHEUS + '/api/v1/query?query=sum(' + name + '{job="api-proxy"})').json().data.result[0].value[1]);
  return proxies.map((p) => Number((http.get(p + '/metrics').body.match(new RegExp('^' + name + ' (\\S+)', 'm')) || [0, 0])[1])).reduce((a, b) => a + b, 0);
}

export function setup() {
  for (let i = 0; i < 500; i++) mixed(); // what is allocated once
  return { memory: sum('process_resident_memory_bytes'), files: sum('process_open_fds') };
}
export default mixed;
export function teardown(before) {
  growth.add(100 * (sum('process_resident_memory_bytes') / before.memory - 1));
  files.add(sum('process_open_fds') - before.files);
}
