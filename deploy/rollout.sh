#!/bin/sh
# Replaces all nodes, one after the other, without losing a request: start a new
# one, wait until it is ready, drain an old one. Run in the root of the project:
#   make rollout               builds the image first
#   BUILD=no make rollout      with the image that is there, such as VERSION=1.2
# It can be run again after it was interrupted: it replaces all nodes anew.
set -eu
compose=${COMPOSE:-$(command -v docker-compose || echo docker compose)}
patience=${ROLLOUT_PATIENCE:-120} # seconds for a new node to become ready

nodes() { $compose ps -q api-proxy; }

old=$(nodes)
count=$(echo "$old" | grep -c . || true)
[ "$count" -gt 0 ] || { echo "rollout: no node is running; start with: $compose up -d" >&2; exit 1; }
[ "${BUILD:-yes}" = no ] || $compose build api-proxy

for node in $old; do
  before=$(nodes)
  $compose up -d --no-deps --no-recreate --scale api-proxy=$((count + 1)) api-proxy >/dev/null 2>&1 ||
    { $compose up -d --no-deps --no-recreate --scale api-proxy=$((count + 1)) api-proxy; exit 1; }
  new=$(nodes | grep -vxF "$before" || true)
  [ -n "$new" ] || { echo "rollout: no new node was started; the old ones go on" >&2; exit 1; }
  waited=0
  # health is /health; /ready, which a node without a configuration refuses, too.
  until docker exec "$new" ops health /ready >/dev/null 2>&1; do
    if [ "$waited" -ge "$patience" ]; then
      echo "rollout: the new node does not become ready; the old ones go on. Its last words:" >&2
      docker logs --tail 20 "$new" >&2
      docker rm -fv "$new" >/dev/null
      exit 1
    fi
    sleep 1
    waited=$((waited + 1))
  done
  sleep 2 # the balancer asks twice a second, and reloads
  docker stop -t 60 "$node" >/dev/null
  docker rm -v "$node" >/dev/null
  echo "rollout: $(echo "$new" | cut -c1-12) took over from $(echo "$node" | cut -c1-12)"
done
