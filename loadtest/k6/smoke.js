// Everything once: each provider, each endpoint, each kind of refusal.
import http from 'k6/http';
import { get, rpc, ok, proxies, percentiles, summary } from './lib.js';

export const options = {
  vus: 1, iterations: Number(__ENV.ITERATIONS || 10), summaryTrendStats: percentiles,
  thresholds: { checks: ['rate==1'], http_req_duration: ['p(95)<500'] },
};
export const handleSummary = summary('smoke');

export default function () {
  http.setResponseCallback(http.expectedStatuses({ min: 200, max: 299 }, 404));
  const answered = { 'is 200': (r) => r.status === 200, 'has an id': (r) => /^[A-Za-z0-9_-]{1,64}$/.test(r.headers['X-Proxy-Request-Id'] || '') };
  ok(get('/zerion/v1/wallets/0x42b9df65b219b3dd36ff330a4dd8f327a6ada990/portfolio'), 'zerion', { ...answered, 'names the provider': (r) => r.headers['X-Provider'] === 'zerion' });
  ok(get('/coingecko/api/v3/simple/price?ids=bitcoin,ethereum&vs_currencies=usd'), 'coingecko', { ...answered, 'has a price': (r) => r.json().bitcoin.usd > 0 });
  ok(rpc('eth_blockNumber'), 'alchemy', { ...answered, 'has a result': (r) => r.json().result !== undefined });
  ok(get('/nobody/x'), 'an unknown prefix', { 'is 404': (r) => r.status === 404, 'is a problem document': (r) => (r.headers['Content-Type'] || '').startsWith('application/problem+json') });
  for (const p of proxies) {
    ok(http.get(p + '/health'), '/health', { 'is ok': (r) => r.status === 200 && r.json().status === 'ok' });
    ok(http.get(p + '/ready'), '/ready', { 'is 200': (r) => r.status === 200 });
    ok(http.get(p + '/status?format=json'), '/status', { 'shows the providers': (r) => r.json().providers.zerion !== undefined });
    ok(http.get(p + '/circuit-breaker-stats'), '/circuit-breaker-stats', { 'shows a state': (r) => ['closed', 'open', 'half_open'].includes(r.json().zerion.state) });
    ok(http.get(p + '/metrics'), '/metrics', { 'counts': (r) => r.body.includes('api_proxy_requests_total{provider="zerion"') });
  }
}
