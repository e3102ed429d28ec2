#!/usr/bin/env bash
# Makes the base image spacedock/python:VERSION from Debian packages, for hosts
# that cannot pull python:VERSION-slim from an image registry.
#
# usage: deploy/base-image.sh [--force] [PYTHON_VERSION]     (default: 3.11)
#
# SUITE names the Debian suite to take the packages from (default: trixie for Python 3.13,
# else bookworm). The suite decides the version of Python: another than its own is refused.
# Needs root, mmdebstrap and a Docker Engine. Does nothing where the image is there.
set -euo pipefail

force=no
if [ "${1:-}" = --force ]; then
  force=yes
  shift
fi
version=${1:-3.11}
suite=bookworm
[ "$version" != 3.13 ] || suite=trixie
suite=${SUITE:-$suite}
image=spacedock/python:$version
candidate=spacedock/python:$version-candidate-$$
packages=python3-venv,python3-pip,python-is-python3,ca-certificates
work=

say() { printf 'base-image: %s\n' "$*"; }

fail() {
  printf 'base-image: %s\n' "$*" >&2
  exit 1
}

cleanup() {
  if [ -n "$work" ]; then
    rm -rf "$work"
    docker image rm "$candidate" >/dev/null 2>&1 || true
  fi
}

check_host() {
  [[ $version =~ ^3\.[0-9]+$ ]] || fail "'$version' is no Python version: say it like 3.11"
  docker version >/dev/null 2>&1 || fail "no Docker Engine answers: start one, or set DOCKER_HOST"
  if [ "$force" = no ] && docker image inspect "$image" >/dev/null 2>&1; then
    say "$image is already there"
    exit 0
  fi
  [ "$(id -u)" = 0 ] || fail "root is needed to unpack Debian packages: run it as root, or pull an image" \
    "with 'docker pull python:$version-slim && docker tag python:$version-slim $image'"
  command -v mmdebstrap >/dev/null || fail "mmdebstrap is missing: apt-get install mmdebstrap"
}

# Once the package lists are there, and before the bulk of the download, this hook compares
# the wanted version with the one the suite carries. Debian writes it as 3.11.2-1.
write_version_hook() {
  cat >"$work/check-version" <<'HOOK'
#!/bin/sh
set -eu
carried=$(APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-cache show --no-all-versions python3 |
  sed -n 's/^Version: \([0-9]*\.[0-9]*\).*/\1/p')
if [ "$carried" != "$WANTED_PYTHON" ]; then
  echo "$carried" >"$CARRIED_PYTHON_FILE"
  exit 1
fi
HOOK
  chmod +x "$work/check-version"
}

# mmdebstrap hands the hooks to a shell of its own, which puts the unpacked tree into $1.
# shellcheck disable=SC2016
make_tarball() {
  WANTED_PYTHON=$version CARRIED_PYTHON_FILE=$work/carried mmdebstrap \
    --variant=minbase --include="$packages" --format=tar \
    --extract-hook="$work/check-version" \
    --dpkgopt=force-unsafe-io \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --customize-hook='rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED' \
    --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/* "$1"/var/log/* "$1"/var/cache/debconf/*-old' \
    "$suite" "$work/base.tar" >"$work/log" 2>&1
}

explain_failure() {
  if [ -s "$work/carried" ]; then
    fail "Debian $suite carries Python $(cat "$work/carried"), not $version: ask for that version," \
      "or set SUITE to the Debian suite that has $version"
  fi
  tail -n 20 "$work/log" >&2
  fail "mmdebstrap could not unpack Debian $suite (its last lines are above)"
}

import_image() {
  docker import \
    --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
    --change 'ENV LANG=C.UTF-8' \
    --change 'CMD ["python3"]' \
    "$work/base.tar" "$candidate" >/dev/null
}

# The old image keeps its name until the new one has run Python and pip.
prove_and_name() {
  local probe="import ssl, sys, venv; assert '%d.%d' % sys.version_info[:2] == '$version'"
  timeout 60 docker run --rm --network none "$candidate" \
    sh -c "python -c \"$probe\" && pip --version" >"$work/log" 2>&1 || {
    cat "$work/log" >&2
    fail "the new image does not run Python $version; $image is unchanged"
  }
  docker tag "$candidate" "$image"
}

check_host
work=$(mktemp -d)
trap cleanup EXIT
# mmdebstrap's unprivileged helpers read the folder too.
chmod 755 "$work"
say "making $image from Debian $suite (about a minute)"
write_version_hook
make_tarball || explain_failure
import_image
prove_and_name
say "made $image, $(($(docker image inspect --format '{{.Size}}' "$image") / 1000000)) MB, in $SECONDS s"
