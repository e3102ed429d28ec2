#!/usr/bin/env bash
# Installs the servers that the tests hold Spacedock against: a real image registry, a real
# Redis, systemd's own checker of units, Prometheus' of rules, and a browser for the page. Does nothing where they are.
set -euo pipefail
# shellcheck source=deploy/apt.sh
. "$(dirname "$0")/apt.sh"

missing=()
command -v docker-registry >/dev/null || missing+=(docker-registry)
command -v jq >/dev/null || missing+=(jq)
command -v promtool >/dev/null || missing+=(prometheus)
command -v redis-server >/dev/null || missing+=(redis-server)
command -v systemd-analyze >/dev/null || missing+=(systemd)
command -v chromium >/dev/null || command -v google-chrome >/dev/null || missing+=(chromium fonts-dejavu-core)
compgen -G "/usr/lib/*/faketime/libfaketime.so.1" >/dev/null || missing+=(libfaketime)
[ "${#missing[@]}" -gt 0 ] || exit 0

root_with_apt || {
  printf 'test-tools: the tests need %s: install them, on Debian by apt-get as root\n' "${missing[*]}" >&2
  exit 1
}
printf 'test-tools: installing %s\n' "${missing[*]}"
# Only the programs are wanted: Debian would start a Redis and a registry as services.
RUNLEVEL=1 apt_install "${missing[@]}"
