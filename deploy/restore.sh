#!/bin/sh
# Brings back what backup.sh wrote, in place of what is here:
#   deploy/restore.sh FILE
# The stack is taken down and started again. The nodes' own data is not part of a
# backup: they get everything from the control plane.
set -eu
cd "$(dirname "$0")/.."
compose=${COMPOSE:-$(command -v docker-compose || echo docker compose)}
[ $# = 1 ] && [ -f "$1" ] || { echo "usage: deploy/restore.sh FILE" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tar -C "$work" -xzf "$1"
for part in config secrets control-data prometheus-data; do
  [ -f "$work/$part.tar" ] || { echo "restore: $1 has no $part; it is no backup of this stack" >&2; exit 1; }
done

[ -f .env ] || : >.env # compose wants one even to stop
$compose down
tar -xf "$work/config.tar"
# Started and stopped again, so that all volumes are there: creating alone would
# wait for the one-shot service that others depend on.
$compose up -d
$compose stop
volume() {
  docker inspect -f "{{range .Mounts}}{{if eq .Destination \"$2\"}}{{.Name}}{{end}}{{end}}" "$($compose ps -aq "$1" | head -1)"
}
image=$(docker inspect -f '{{.Config.Image}}' "$($compose ps -aq nginx-lb | head -1)")
fill() { # NAME VOLUME
  docker run --rm -i --network none --user 0:0 --entrypoint sh -v "$2:/v" "$image" \
    -c 'rm -rf /v/* /v/.[!.]* && tar -C /v --numeric-owner -x' <"$work/$1.tar"
}
fill secrets "$(volume control-plane /secrets)"
fill control-data "$(volume control-plane /data)"
fill prometheus-data "$(volume prometheus /prometheus)"
# The nodes of the backup are dead, all of them: left in the list of members, their
# shares of the limits would be kept for them until their leases have ended.
docker run --rm --network none --user 0:0 --entrypoint sh -v "$(volume control-plane /data):/v" "$image" \
  -c 'rm -rf /v/nats/jetstream/*/streams/KV_members'
$compose up -d
echo "restore: done; check with: $compose ps"
