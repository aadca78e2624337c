// What all scripts share. Parameters come from the environment:
//   PROXY     URL of the balancer or of nodes, separated by commas
//   ORACLE    URL of the fake providers, which count what really arrived
//   CONTROL   URL of the control plane; TOKEN its admin token
//   RATE      requests a second; DURATION such as 30s
//   OUT       folder of the summaries
// Nothing here is sent again: a request that is lost counts.
import http from 'k6/http';
import { check } from 'k6';
import { Counter, Rate } from 'k6/metrics';

export const proxies = (__ENV.PROXY || 'http://127.0.0.1:8080').split(',');
export const oracle = __ENV.ORACLE || 'http://127.0.0.1:9100';
export const control = __ENV.CONTROL || 'http://127.0.0.1:8090';
export const rate = Number(__ENV.RATE || 0);
export const duration = __ENV.DURATION || '';

export const limited = new Rate('answered_429');
export const broken = new Rate('answered_5xx_or_nothing');
export const answers = new Counter('answers');

// proxy is the next of the proxies.
let turn = 0;
export function proxy() {
  turn += 1;
  return proxies[(turn + __VU) % proxies.length];
}

// seen counts an answer.
export function seen(res) {
  limited.add(res.status === 429);
  broken.add(res.status === 0 || res.status >= 500);
  answers.add(1, { status: String(res.status) });
  return res;
}

// get asks a provider, such as get('/zerion/test').
export function get(path, params) {
  return seen(http.get(proxy() + path, params));
}

// rpc is a JSON-RPC call: a POST, which nothing may send twice.
export function rpc(method, ...params) {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: method, params: params });
  return seen(http.post(proxy() + '/alchemy', body, { headers: { 'Content-Type': 'application/json' } }));
}

// mixed is one request of a mix of the three providers, a third of them POSTs.
// Hardly two are the same: caches do not take part.
export function mixed() {
  const n = Math.floor(Math.random() * 1e6);
  switch (n % 3) {
    case 0: return get('/zerion/test?n=' + n, { tags: { name: 'zerion' } });
    case 1: return get('/coingecko/test?n=' + n, { tags: { name: 'coingecko' } });
    default: return rpc('eth_getBalance', '0x' + n.toString(16), 'latest');
  }
}

// expectLimits makes 429 an answer like 200; anything else counts as failed.
export function expectLimits() {
  http.setResponseCallback(http.expectedStatuses({ min: 200, max: 299 }, 429));
}

// arrivals is what the oracle counted for a provider.
export function arrivals(provider) {
  return http.get(oracle + '/_control/stats', quiet).json()[provider];
}

// beyond is by how much the arrivals at all providers exceed a limit that holds for
// all of them. Arrivals are as far apart as admissions, but for the time on the way.
export function beyond(limit) {
  const all = Object.values(http.get(oracle + '/_control/stats', quiet).json()).filter((a) => a.arrivals > 0);
  const seconds = (Math.max(...all.map((a) => a.last_ns)) - Math.min(...all.map((a) => a.first_ns))) / 1e9 + transit;
  return Math.max(0, all.reduce((sum, a) => sum + a.arrivals, 0) - (limit.rate * seconds + limit.burst));
}
export const transit = 0.1; // seconds

export function reset() { http.post(oracle + '/_control/reset', null, quiet); }

// fault makes a provider fail: fault({provider: 'zerion', error_rate: 1, status: 503}).
export function fault(what) { http.post(oracle + '/_control/faults', JSON.stringify(what), quiet); }
export function noFaults() { http.del(oracle + '/_control/faults', null, quiet); }

// quiet keeps our own questions out of the figures of the proxy.
const quiet = { responseCallback: null, tags: { name: 'oracle' } };

// change is a write at the control plane.
export function change(method, path, body) {
  return http.request(method, control + path, JSON.stringify(body), {
    headers: { Authorization: 'Bearer ' + (__ENV.TOKEN || ''), 'Content-Type': 'application/json' },
    tags: { name: 'control' }, responseCallback: null,
  });
}

// borrow changes a limit, such as 'global', for as long as a script runs; the value
// is what giveBack puts in force again. Both need CONTROL and TOKEN.
export function borrow(limit, to) {
  const before = http.get(control + '/api/v1/limits', quiet).json()[limit];
  set({ limit: limit, to: to });
  return { limit: limit, to: { rate: before.rate, burst: before.burst } };
}
export const giveBack = (before) => set(before);
function set(what) {
  const res = change('PUT', '/api/v1/limits/' + what.limit + '?wait=5s', what.to);
  if (res.status !== 200) throw new Error('the limit ' + what.limit + ' cannot be changed; TOKEN is the admin token? ' + res.status + ' ' + res.body);
}

export function ok(res, what, conditions) {
  return check(res, Object.fromEntries(Object.entries(conditions).map(([k, v]) => [what + ': ' + k, v])));
}

// arrival is a scenario of a constant rate.
export function arrival(defaultRate, defaultDuration) {
  const r = rate || defaultRate;
  return { executor: 'constant-arrival-rate', rate: r, timeUnit: '1s', duration: duration || defaultDuration, preAllocatedVUs: Math.min(200, 20 + r / 10), maxVUs: 500 };
}

// seconds of a duration such as 1h30m.
export function seconds(text) {
  const units = { h: 3600, m: 60, s: 1 };
  return [...text.matchAll(/([\d.]+)([hms])/g)].reduce((sum, [, n, unit]) => sum + n * units[unit], 0);
}

// ramp is a scenario of changing rates, [[part, duration], ...]: parts of top.
export function ramp(top, steps) {
  return {
    executor: 'ramping-arrival-rate', startRate: Math.round(steps[0][0] * top), timeUnit: '1s', preAllocatedVUs: 100, maxVUs: 1000,
    stages: steps.map(([part, d]) => ({ target: Math.round(part * top), duration: d })),
  };
}

export const percentiles = ['avg', 'med', 'p(95)', 'p(99)', 'max'];

// summary writes OUT/<name>.json and a table.
export function summary(name) {
  return (data) => {
    const m = data.metrics, v = (metric, key) => (m[metric] ? m[metric].values[key] : undefined);
    const num = (x, unit) => (!Number.isFinite(x) ? '-' : (Math.abs(x) >= 100 ? x.toFixed(0) : x.toFixed(2)) + (unit || ''));
    const lines = [['requests', num(v('http_reqs', 'count')) + '  (' + num(v('http_reqs', 'rate'), '/s') + ')'],
      ['failed', num(100 * v('http_req_failed', 'rate'), ' %')],
      ['429', num(100 * v('answered_429', 'rate'), ' %')],
      ['5xx or no answer', num(100 * v('answered_5xx_or_nothing', 'rate'), ' %')],
      ['not sent in time', num(v('dropped_iterations', 'count') || 0)],
      ...['med', 'p(95)', 'p(99)', 'max'].map((p) => ['latency ' + p, num(v('http_req_duration', p), ' ms')])];
    for (const [metric, value] of Object.entries(m)) {
      if (metric.startsWith('our_')) lines.push([metric.slice(4).replaceAll('_', ' '), num(value.values.value ?? value.values.count ?? value.values.avg)]);
    }
    for (const [metric, value] of Object.entries(m)) {
      for (const [expr, t] of Object.entries(value.thresholds || {})) lines.push([t.ok ? 'pass' : 'FAIL', metric + ' ' + expr]);
    }
    const table = '\n' + name + '\n' + lines.map(([a, b]) => '  ' + a.padEnd(38) + b).join('\n') + '\n';
    const failed = [];
    (function walk(g) { g.checks.forEach((c) => c.fails && failed.push(c.name)); g.groups.forEach(walk); })(data.root_group);
    const out = { stdout: table + failed.map((c) => '  failed check                          ' + c + '\n').join('') };
    out[(__ENV.OUT || '.') + '/' + name + '.json'] = JSON.stringify(data, null, 1);
    return out;
  };
}
