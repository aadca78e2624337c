#!/bin/sh
# Starts the all-in-one on ports of its own, runs scripts against it, stops it:
#   loadtest/k6/run.sh smoke load        (make load)
#   RATE=500 DURATION=1m loadtest/k6/run.sh load
# Against something that runs already: PROXY=http://localhost:8080 k6 run load.js
# Summaries: loadtest/k6/out/<script>.json. per_ip is raised (config.yaml).
set -eu
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
k6=$(command -v k6 || echo "$root/bin/k6")
[ -x "$k6" ] || { echo "k6 is not installed; make bin/k6 builds it into bin/" >&2; exit 1; }
[ $# -gt 0 ] || set -- smoke load
work=$(mktemp -d)
mkdir -p out
nodes=${NODE_COUNT:-3}
port=${PORT:-18080}
"$root/bin/allinone" --nodes "$nodes" --listen "127.0.0.1:$port" --provider-listen "127.0.0.1:$((port + 900))" \
  --control-listen "127.0.0.1:$((port + 90))" --config config.yaml --data-dir "$work/data" --log-dir "$work/logs" >"$work/out" 2>&1 &
pid=$!
trap 'kill $pid 2>/dev/null; wait $pid 2>/dev/null || true; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

PROXY=
i=0
while [ $i -lt "$nodes" ]; do
  PROXY="$PROXY${PROXY:+,}http://127.0.0.1:$((port + i))"
  i=$((i + 1))
done
export PROXY ORACLE="http://127.0.0.1:$((port + 900))" OUT=out CONTROL="http://127.0.0.1:$((port + 90))" BREAKER_TIMEOUT=3 K6_NO_USAGE_REPORT=true
tries=0
until curl -fs "${PROXY##*,}/ready" >/dev/null && curl -fs "$CONTROL/ready" >/dev/null; do
  tries=$((tries + 1))
  kill -0 $pid 2>/dev/null && [ $tries -lt 100 ] || { echo "the all-in-one does not start:" >&2; cat "$work/out" >&2; exit 1; }
  sleep 0.2
done
echo "configuration: config.yaml (per_ip raised), $nodes nodes and a controller"
failed=
for script; do
  "$k6" run --quiet --no-color "$script.js" || failed="$failed $script"
done
[ -z "$failed" ] || { echo "FAILED:$failed" >&2; exit 1; }
