#!/bin/sh
# Writes the configuration, the secrets, the control plane's data and Prometheus'
# into one file:
#   deploy/backup.sh [FOLDER]      (make backup; default: backups/)
# The control plane and Prometheus stand still for the seconds of the copy;
# requests go on. The file holds keys and tokens: keep it like them.
set -eu
cd "$(dirname "$0")/.."
compose=${COMPOSE:-$(command -v docker-compose || echo docker compose)}
folder=${1:-backups}
work=$(mktemp -d)
image=
restart() { $compose start control-plane prometheus >/dev/null 2>&1 || $compose start control-plane prometheus; }
trap 'rm -rf "$work"; [ -z "$image" ] || restart' EXIT

# volume SERVICE PATH: the name of what is mounted there.
volume() {
  docker inspect -f "{{range .Mounts}}{{if eq .Destination \"$2\"}}{{.Name}}{{end}}{{end}}" "$($compose ps -aq "$1" | head -1)"
}
balancer=$($compose ps -aq nginx-lb | head -1)
[ -n "$balancer" ] || { echo "backup: the stack was never started: $compose up -d" >&2; exit 1; }
image=$(docker inspect -f '{{.Config.Image}}' "$balancer") # any image that has tar

$compose stop control-plane prometheus >/dev/null 2>&1
save() { # NAME VOLUME
  docker run --rm --network none --user 0:0 --entrypoint tar -v "$2:/v:ro" "$image" -C /v -c . >"$work/$1.tar"
}
save secrets "$(volume control-plane /secrets)"
save control-data "$(volume control-plane /data)"
save prometheus-data "$(volume prometheus /prometheus)"
own= # what only some have
for path in certs docker-compose.override.yml; do [ ! -e "$path" ] || own="$own $path"; done
# shellcheck disable=SC2086 # a list of words
tar -c --exclude=runbooks -f "$work/config.tar" .env deploy/config monitoring $own

mkdir -p "$folder"
file=$folder/api-proxy-$(date -u +%Y%m%dT%H%M%SZ).tar.gz
(umask 077; tar -C "$work" -czf "$file" config.tar secrets.tar control-data.tar prometheus-data.tar)
echo "backup: $file"
