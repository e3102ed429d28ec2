#!/usr/bin/env bash
# Sets up a machine for `make demo` and `make test`: the virtual environment, a Docker
# Engine, the base image for Spaces and the stand-in model. Each step looks first and
# does nothing where its work is done, so running it again takes a second or two.
#
# PYTHON names the interpreter to use (default: python3). Nothing here calls sudo: what
# needs root is done when root runs this, and is explained otherwise.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=deploy/apt.sh
. deploy/apt.sh

python=${PYTHON:-python3}
base_version=3.11
base_image=spacedock/python:$base_version
stamp=.venv/.bootstrap-stamp
engine_log=/var/log/dockerd.log
engine_deadline=60
log=
venv_job=

say() { printf 'bootstrap: %s\n' "$*"; }

fail() {
  printf 'bootstrap: %s\n' "$*" >&2
  exit 1
}

# Runs a command quietly; its words are shown only when it fails.
quietly() {
  "$@" >"$log" 2>&1 </dev/null || {
    cat "$log" >&2
    fail "failed: $*"
  }
}

# make -j may start two of these; the second one waits and then finds everything done.
take_lock() {
  mkdir -p .cache
  exec 9>.cache/bootstrap.lock
  flock -n 9 || {
    say "waiting for another bootstrap to end"
    flock 9
  }
}

check_python() {
  command -v "$python" >/dev/null ||
    fail "there is no '$python': install Python 3.11 or newer, or set PYTHON to one"
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "'$python' is $("$python" -V 2>&1): install Python 3.11 or newer, or set PYTHON to one"
  say "python: $("$python" -V 2>&1)"
}

create_venv() {
  # Debian keeps ensurepip, which venv needs, in a package of its own.
  if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    root_with_apt || fail "'$python' cannot make virtual environments: install python3-venv"
    apt_install python3-venv
  fi
  quietly "$python" -m venv --clear .venv
}

wanted_stamp() {
  "$python" - <<'CODE'
import hashlib, pathlib, sys

print(sys.version.split()[0], hashlib.sha256(pathlib.Path("pyproject.toml").read_bytes()).hexdigest())
CODE
}

ensure_venv() {
  local wanted
  wanted=$(wanted_stamp)
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    say "packages: already there (.venv)"
    return
  fi
  say "packages: installing into .venv (about a minute)"
  .venv/bin/python -m pip --version >/dev/null 2>&1 || create_venv
  # --group came with pip 25.1; Debian 12 brings 23.
  quietly .venv/bin/python -m pip install -q --upgrade 'pip>=25.1'
  quietly .venv/bin/python -m pip install -q -e '.[worker,daemon,smollm]' --group dev
  printf '%s\n' "$wanted" >"$stamp"
}

# llama.cpp, which serves the system default, is linked against GNU's OpenMP; a bare Debian lacks it.
ensure_llama_libraries() {
  if .venv/bin/python -c 'import xllamacpp' 2>/dev/null; then
    say "llama.cpp: already there"
    return
  fi
  root_with_apt || fail "llama.cpp cannot be loaded: install libgomp1 (on Debian: sudo apt-get install libgomp1)"
  say "llama.cpp: installing libgomp1"
  apt_install libgomp1
  quietly .venv/bin/python -c 'import xllamacpp'
}

engine_version() { timeout 10 docker version --format '{{.Server.Version}}' 2>/dev/null; }

find_dockerd() { PATH=$PATH:/usr/sbin:/sbin command -v dockerd; }

install_engine() {
  local packages=(docker.io iptables ca-certificates)
  root_with_apt || fail "no Docker Engine answers. Install one (on Debian: sudo apt-get install docker.io) and let" \
    "yourself use it (sudo usermod -aG docker $(id -un), then log in again), or set DOCKER_HOST to one that runs"
  say "engine: installing docker.io from the distribution's packages"
  apt_refresh
  # From Debian 13 on, the docker command is a package of its own.
  if apt-cache show docker-cli >/dev/null 2>&1; then
    packages+=(docker-cli)
  fi
  apt_install "${packages[@]}"
}

launch_engine() {
  if [ -d /run/systemd/system ]; then
    quietly systemctl start docker
    return
  fi
  # The engine outlives this script, so it must hold neither the terminal nor our lock.
  PATH=$PATH:/usr/sbin:/sbin setsid nohup dockerd >>"$engine_log" 2>&1 </dev/null 9>&- &
  engine_pid=$!
}

wait_for_engine() {
  local end=$((SECONDS + engine_deadline))
  until engine_version >/dev/null; do
    if [ "$SECONDS" -ge "$end" ] || { [ -n "$engine_pid" ] && ! kill -0 "$engine_pid" 2>/dev/null; }; then
      tail -n 20 "$engine_log" >&2 || true
      fail "the Docker Engine did not start; its last words are above (the rest: $engine_log or journalctl -u docker)"
    fi
    sleep 0.3
  done
}

ensure_engine() {
  local version engine_pid=
  if version=$(engine_version); then
    say "engine: already there (Docker $version)"
    return
  fi
  [ -z "${DOCKER_HOST:-}" ] ||
    fail "no Docker Engine answers at DOCKER_HOST=$DOCKER_HOST: start it, or unset DOCKER_HOST"
  if ! find_dockerd >/dev/null || ! command -v docker >/dev/null; then
    install_engine
  fi
  [ "$(id -u)" = 0 ] ||
    fail "a Docker Engine is installed but does not answer you: start it (sudo systemctl start docker), and let" \
      "yourself use it (sudo usermod -aG docker $(id -un), then log in again)"
  engine_version >/dev/null || launch_engine
  wait_for_engine
  say "engine: started (Docker $(engine_version))"
}

pull_base_image() {
  timeout "$1" docker pull -q "python:$base_version-slim" >"$log" 2>&1 </dev/null &&
    docker tag "python:$base_version-slim" "$base_image"
}

ensure_base_image() {
  if docker image inspect "$base_image" >/dev/null 2>&1; then
    say "base image: already there ($base_image)"
  elif ! root_with_apt; then
    say "base image: pulling python:$base_version-slim"
    pull_base_image 300 || {
      cat "$log" >&2
      fail "the base image cannot be pulled: check the way to the image registry, or run this as root on Debian"
    }
  elif pull_base_image 20; then
    say "base image: pulled python:$base_version-slim"
  else
    say "base image: no image registry answers, so it is made from Debian packages"
    command -v mmdebstrap >/dev/null || apt_install mmdebstrap debian-archive-keyring
    deploy/base-image.sh "$base_version"
  fi
}

# An assignment of its own, because a failure inside say's argument would go unseen.
ensure_model() {
  local line
  line=$(.venv/bin/spacedockd model fetch stand-in 2>"$log") || {
    cat "$log" >&2
    fail "the stand-in model could not be fetched; the reason is above"
  }
  say "model: $line"
}

# However this ends, nothing of it goes on: neither the part in the background nor an apt-get, which is not
# ended halfway.
cleanup() {
  if [ -n "$venv_job" ] && kill -0 "$venv_job" 2>/dev/null; then
    kill -- "-$venv_job" 2>/dev/null || true
    wait "$venv_job" || true
  fi
  ! root_with_apt || apt_wait
  rm -f "$log" "$log.packages"
}

log=$(mktemp)
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
command -v flock >/dev/null || fail "the command flock is missing: install util-linux"
take_lock
check_python
# Packages on one side, engine and image on the other: neither needs the other, and both take a minute.
# A job of its own group, which can be ended with all that it has started.
set -m
(
  trap - EXIT INT TERM
  log=$log.packages
  ensure_venv
  ensure_llama_libraries
) </dev/null &
venv_job=$!
set +m
ensure_engine
ensure_base_image
wait "$venv_job"
venv_job=
ensure_model
say "ready"
