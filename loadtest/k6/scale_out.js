// Load on the balancer while nodes are added and taken away by somebody else:
//   docker-compose up -d --no-recreate --scale api-proxy=5
// Nothing is lost, and NODES different nodes answer at the end.
import http from 'k6/http';
import { Gauge } from 'k6/metrics';
import { mixed, arrival, proxies, percentiles, summary } from './lib.js';

const nodes = new Gauge('our_nodes');

export const options = {
  scenarios: { load: arrival(300, '60s') }, summaryTrendStats: percentiles,
  thresholds: { http_req_failed: ['rate==0'], answered_5xx_or_nothing: ['rate==0'], our_nodes: ['value>=' + (__ENV.NODES || 1)] },
};
export const handleSummary = summary('scale_out');
export default mixed;
export function teardown() {
  const seen = {};
  for (let i = 0; i < 200; i++) {
    const res = http.get(proxies[i % proxies.length] + '/ready');
    if (res.status === 200) seen[res.json().node] = true;
  }
  nodes.add(Object.keys(seen).length);
}
