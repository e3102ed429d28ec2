#!/usr/bin/env bash
# Installs a wheel where the repository cannot be seen, and uses it as its first user would: the client
# alone, then the daemon, then one prompt that the local model answers.
#
# usage: deploy/dist/try-wheel.sh WHEEL
set -euo pipefail
wheel=$1
python=${PYTHON:-python3}
work=$(mktemp -d)
daemon=

say() { printf 'dist: %s\n' "$*"; }

fail() {
  printf 'dist: %s\n' "$*" >&2
  [ ! -f "$work/log" ] || tail -n 20 "$work/log" >&2
  exit 1
}

cleanup() {
  if [ -n "$daemon" ]; then
    kill -TERM "$daemon" 2>/dev/null || true
    wait "$daemon" || true
  fi
  rm -rf "$work"
}

# With nothing of this user's: no configuration, no state, no model, no PYTHONPATH.
# An array, not a function, so that the pid of one in the background is the command's own.
clean=(env -i HOME="$work/home" PATH="$work/venv/bin:/usr/sbin:/usr/bin:/sbin:/bin"
  ${DOCKER_HOST:+DOCKER_HOST="$DOCKER_HOST"} ${SSL_CERT_FILE:+SSL_CERT_FILE="$SSL_CERT_FILE"}
  SPACEDOCK_CONFIG="$work/spacedockd.yaml"
  SPACEDOCK_STATE_DIR="$work/state" SPACEDOCK_RUNTIME_DIR="$work/run")

install() {
  "$work/venv/bin/python" -m pip install -q --disable-pip-version-check "$wheel$1" >"$work/said" 2>&1 ||
    fail "cannot install $wheel$1: $(cat "$work/said")"
}

# `expect WORDS COMMAND…`: it exits with 0, and its output has the words.
expect() {
  local words=$1 said
  shift
  said=$("${clean[@]}" "$@" 2>&1) || fail "$* failed: $said"
  [[ $said == *"$words"* ]] || fail "$* does not say '$words': $said"
  say "$* says '$words'"
}

trap cleanup EXIT
mkdir "$work/home"
# Off, because another daemon of this machine may have the port.
echo 'http: off' >"$work/spacedockd.yaml"
cd "$work"
"$python" -m venv venv

install ''
expect 'spacedock 0.' spacedock --version
expect 'batch' env COMP_WORDS='spacedock ba' COMP_CWORD=1 _SPACEDOCK_COMPLETE=complete_bash spacedock
! "${clean[@]}" spacedockd 2>"$work/said" || fail "spacedockd runs without its packages"
grep -q "pip install 'hf-spacedock\[daemon,smollm\]'" "$work/said" || fail "spacedockd does not say what to install"

install '[daemon]'
expect 'spacedockd 0.' spacedockd --version
expect 'can be used' spacedockd config --check

# As people install commands: each tool has an environment of its own, and links both commands.
"$work/venv/bin/python" -m pip install -q --disable-pip-version-check uv pipx
for tool in 'uv tool install' 'pipx install'; do
  # shellcheck disable=SC2086
  "${clean[@]}" $tool "$wheel[daemon,smollm]" >"$work/said" 2>&1 || fail "$tool fails: $(cat "$work/said")"
  expect 'spacedock 0.' "$work/home/.local/bin/spacedock" --version
  expect 'spacedockd 0.' "$work/home/.local/bin/spacedockd" --version
  rm -rf "$work/home/.local"
done

install '[daemon,smollm]'
expect 'already there' spacedockd base-image
expect 'fetched' spacedockd model fetch stand-in
"${clean[@]}" spacedockd >"$work/log" 2>&1 &
daemon=$!
# Ends with the daemon, so that one that cannot start is told at once.
grep -q -m1 '"event": "daemon.ready"' < <(tail -n +1 -f --pid="$daemon" "$work/log") || fail "the daemon did not start"
expect '0 errors' spacedock doctor
expect 'answered by' timeout 120 spacedock run 'What colour is the sky on a clear day?'

kill -TERM "$daemon"
wait "$daemon" || fail "the daemon ended with an error"
daemon=
say "the daemon has stopped; $(basename "$wheel") can be shipped"
