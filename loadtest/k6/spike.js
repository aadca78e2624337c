// From little to much within a second, and back: bursts serve the first moments,
// the limits the rest.
import { mixed, ramp, expectLimits, percentiles, summary } from './lib.js';

export const options = {
  scenarios: { spike: ramp([[50, '10s'], [2000, '1s'], [2000, '10s'], [50, '1s'], [50, '20s']]) }, summaryTrendStats: percentiles,
  thresholds: { answered_5xx_or_nothing: ['rate==0'], http_req_failed: ['rate==0'], http_req_duration: ['p(99)<1000'] },
};
export const handleSummary = summary('spike');
export default function () { expectLimits(); mixed(); }
