// More than the limits allow, up to four times: the rest is refused at once, and
// nothing breaks.
import { mixed, ramp, expectLimits, percentiles, summary } from './lib.js';

export const options = {
  scenarios: { stress: ramp([[300, '10s'], [1000, '15s'], [2000, '15s'], [4000, '20s'], [300, '10s']]) }, summaryTrendStats: percentiles,
  thresholds: { answered_5xx_or_nothing: ['rate==0'], http_req_failed: ['rate==0'], http_req_duration: ['p(99)<2000'] },
};
export const handleSummary = summary('stress');
export default function () { expectLimits(); mixed(); }
