// The load that the limits allow: nothing is refused, nothing lost.
import { mixed, arrival, percentiles, summary } from './lib.js';

export const options = {
  scenarios: { load: arrival(300, '30s') }, summaryTrendStats: percentiles,
  thresholds: { http_req_failed: ['rate==0'], answered_429: ['rate==0'], http_req_duration: ['p(95)<100', 'p(99)<500'], dropped_iterations: ['count<30'] },
};
export const handleSummary = summary('load');
export default mixed;
