#!/usr/bin/env bash
# Installs the servers that the tests hold Spacedock against: a real image registry, a real
# Redis, and systemd's own checker of units. Does nothing where they are.
set -euo pipefail

missing=()
command -v docker-registry >/dev/null || missing+=(docker-registry)
command -v redis-server >/dev/null || missing+=(redis-server)
command -v systemd-analyze >/dev/null || missing+=(systemd)
[ "${#missing[@]}" -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  printf 'test-tools: the tests need %s: install them, on Debian by apt-get as root\n' "${missing[*]}" >&2
  exit 1
fi
printf 'test-tools: installing %s\n' "${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
{
  apt-get -q -o DPkg::Lock::Timeout=300 update
  # Only the programs are wanted: Debian would start a Redis and a registry as services.
  RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
    apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "${missing[@]}"
} >"$log" 2>&1 </dev/null || {
  cat "$log" >&2
  exit 1
}
