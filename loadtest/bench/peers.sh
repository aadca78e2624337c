#!/usr/bin/env bash
# CPU time per request, of our node with everything on and of nginx, in one run:
# passed on (nginx plain; nginx with limits and a log) and answered from the cache
# (nginx proxy_cache, in memory, plain; with limits and a log). Proxies are pinned
# to one core, the load and the backend to another. What counts is the ratio; take
# absolute numbers with a grain of salt.
#
#   loadtest/bench/peers.sh [rounds] [seconds]        (default 5 rounds of 3 s)
#
# Needs Linux with two cores, Debian's packages nginx-light and wrk (installed if
# missing and root), and Go. Everything listens on loopback.
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${1:-5} seconds=${2:-3} connections=64
load_core=0 proxy_core=1

need=()
command -v nginx >/dev/null || need+=(nginx-light)
command -v wrk >/dev/null || need+=(wrk)
if [ ${#need[@]} -gt 0 ]; then
  printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d # do not start services
  apt-get update -qq && apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null
  rm -f /usr/sbin/policy-rc.d
fi

dir=$(mktemp -d)
pids=()
cleanup() {
  for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$dir"
}
trap cleanup EXIT

go build -o "$dir/dataplane" ./dataplane/cmd/dataplane

body=$(head -c 562 /dev/zero | tr '\0' x)
backend=127.0.0.1:19180
common="daemon off; master_process off; error_log $dir/error.log; events { worker_connections 4096; }"
cat > "$dir/backend.conf" <<C
pid $dir/backend.pid; $common
http { access_log off; keepalive_requests 1000000000; server { listen $backend reuseport;
  location / { default_type application/json; return 200 '$body'; } } }
C
upstream="upstream up { server $backend; keepalive 128; keepalive_requests 1000000000; }
  keepalive_requests 1000000000; proxy_http_version 1.1; proxy_set_header Connection ''; proxy_set_header x-api-key secret-key;"
cat > "$dir/plain.conf" <<C
pid $dir/plain.pid; $common
http { access_log off; $upstream server { listen 127.0.0.1:19181; location / { proxy_pass http://up; } } }
C
full=$(cat <<'C'
log_format j escape=json '{"time":"$time_iso8601","request_id":"$request_id","method":"$request_method","path":"$uri","status":$status,"latency":$request_time,"upstream":"$upstream_response_time","bytes":$body_bytes_sent,"client":"$remote_addr","ua":"$http_user_agent"}';
  limit_req_zone $binary_remote_addr zone=ip:10m rate=900000r/s;
  limit_req_zone $server_name zone=all:1m rate=900000r/s;
  limit_req_zone $proxy_host zone=up:1m rate=900000r/s;
  limit_req zone=ip burst=100000 nodelay; limit_req zone=all burst=100000 nodelay; limit_req zone=up burst=100000 nodelay;
  add_header X-Request-ID $request_id;
C
)
cat > "$dir/full.conf" <<C
pid $dir/full.pid; $common
http { $full access_log $dir/full.log j buffer=64k flush=1s; $upstream server { listen 127.0.0.1:19182; location / { proxy_pass http://up; } } }
C
store="proxy_cache_path $dir/nginx-cache keys_zone=c:10m max_size=64m; proxy_cache c; proxy_cache_valid 200 1h; add_header X-Cache \$upstream_cache_status;"
cat > "$dir/cache.conf" <<C
pid $dir/cache.pid; $common
http { $store access_log off; $upstream server { listen 127.0.0.1:19184; location / { proxy_pass http://up; } } }
C
cat > "$dir/cachefull.conf" <<C
pid $dir/cachefull.pid; $common
http { ${store/nginx-cache/nginx-cache-full} $full access_log $dir/cachefull.log j buffer=64k flush=1s; $upstream server { listen 127.0.0.1:19185; location / { proxy_pass http://up; } } }
C
cat > "$dir/node.yaml" <<C
rate_limit:
  global: {rate: 900000000, burst: 1000000000}
  per_ip: {rate: 900000000, burst: 1000000000}
  per_provider: {api: {rate: 900000000, burst: 1000000000}}
providers:
  api: {prefix: /api/, upstream: "http://$backend", cache_mode: off, auth: {type: header, header: x-api-key, value_env: BENCH_KEY}}
  cached: {prefix: /cached/, upstream: "http://$backend", cache_ttl: 1h, auth: {type: header, header: x-api-key, value_env: BENCH_KEY}}
C

start() { taskset -c "$1" "${@:2}" >"$dir/out" 2>&1 & pids+=($!); last=$!; }
start $load_core nginx -c "$dir/backend.conf"
start $proxy_core nginx -c "$dir/plain.conf"; plain=$last
start $proxy_core nginx -c "$dir/full.conf"; full=$last
start $proxy_core nginx -c "$dir/cache.conf"; cache=$last
start $proxy_core nginx -c "$dir/cachefull.conf"; cachefull=$last
BENCH_KEY=secret-key GOMAXPROCS=1 start $proxy_core "$dir/dataplane" --config "$dir/node.yaml" --listen 127.0.0.1:19183 --data-dir "$dir/data" --log-dir "$dir/logs"; node=$last
for port in 19180 19181 19182 19183 19184 19185; do
  for _ in $(seq 100); do (exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null && break; sleep 0.05; done
done

tick=$(getconf CLK_TCK)
cpu() { awk '{print $14+$15}' "/proc/$1/stat"; } # user + system ticks; all threads of the process

measure() { # pid port path -> microseconds of CPU per request, requests per second, errors
  taskset -c $load_core wrk -t1 -c$connections -d1s "http://127.0.0.1:$2$3" >/dev/null
  local before after out
  before=$(cpu "$1")
  out=$(taskset -c $load_core wrk -t1 -c$connections -d"${seconds}s" "http://127.0.0.1:$2$3")
  after=$(cpu "$1")
  awk -v t=$((after-before)) -v hz="$tick" '
    /requests in/ {n=$1} /Requests\/sec/ {r=$2} /Non-2xx/ {e+=$NF} /Socket errors/ {for(i=4;i<=NF;i+=2) e+=$i}
    END {printf "%.2f %.0f %d\n", t/hz*1e6/n, r, e}' <<<"$out"
}

compare() { # title, and pid, port and path of nginx plain, of nginx with limits and a log, and of the node
  printf '\n%-10s %22s %22s %22s\n' "$1" "nginx plain" "nginx limits+log" "node, everything on"
  : > "$dir/rows"
  local r p prps pe f frps fe n nrps ne
  for r in $(seq "$rounds"); do
    read -r p prps pe <<<"$(measure "${@:2:3}")"
    read -r f frps fe <<<"$(measure "${@:5:3}")"
    read -r n nrps ne <<<"$(measure "${@:8:3}")"
    printf '%-10s %9s us %7s/s %9s us %7s/s %9s us %7s/s   x plain %.2f   x full %.2f   errors %d %d %d\n' \
      "$r" "$p" "$prps" "$f" "$frps" "$n" "$nrps" "$(awk "BEGIN{print $n/$p}")" "$(awk "BEGIN{print $n/$f}")" "$pe" "$fe" "$ne"
    echo "$p $f $n" >> "$dir/rows"
  done
  awk '{print $3/$1}' "$dir/rows" | sort -n | awk '{a[NR]=$1} END {printf "median of ratios: node / nginx plain = %.2f\n", a[int((NR+1)/2)]}'
  awk '{print $3/$2}' "$dir/rows" | sort -n | awk '{a[NR]=$1} END {printf "median of ratios: node / nginx limits+log = %.2f\n", a[int((NR+1)/2)]}'
}

compare "passed on" $plain 19181 /test $full 19182 /test $node 19183 /api/test
compare "cache hit" $cache 19184 /test $cachefull 19185 /test $node 19183 /cached/test
