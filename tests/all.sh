#!/usr/bin/env bash
# `make test`: every test that CI runs, with what each part took. A part that fails keeps no other from running. The
# parts run beside each other: what waits in one lets another compute. Only what needs the images of test Spaces
# begins when these are built, and the unit tests are over, since four parts at once starve each other. The machine must
# be set up (make does that).
set -euo pipefail
cd "$(dirname "$0")/.."
bin=.venv/bin logs=.cache/tests failed=0
rm -rf "$logs" && mkdir -p "$logs"

# Files stay whole: the tests of one share servers and Spaces that take seconds to start. The longest come first
# (tests/conftest.py), so no process ends long before the others.
tests=("$bin"/pytest -q --dist loadfile --no-loadscope-reorder)
# Tests start Python programs of ours hundreds of times: without bytecode, each compiles all that it imports.
unset PYTHONDONTWRITEBYTECODE

# Starts a part beside the others: begin NAME COMMAND…
begin() {
  local name=$1
  shift
  (
    SECONDS=0 code=0
    "$@" >"$logs/$name" 2>&1 || code=$?
    printf '%4d s  %s\n' "$SECONDS" "$name" >>"$logs/durations"
    exit "$code"
  ) &
  eval "part_$name=$!"
}

# Waits for a part that has begun, and shows what it said: finish NAME
finish() {
  local name=$1 pid="part_$1"
  wait "${!pid}" || failed=1
  printf '== %s\n' "$name"
  cat "$logs/$name"
}

begin images "$bin"/python -m tests.layers
begin servers "${tests[@]}" -n 2 --durations=40 tests/integration --ignore tests/integration/apps
begin style make --no-print-directory style
finish style
# Thousands of quick tests: to collect them in each process, and to hand over what each came to, takes long.
begin unit "$bin"/pytest -q --durations=25 tests/unit tests/routing tests/browser
finish images
finish unit
begin spaces "${tests[@]}" -n 3 --durations=40 tests/compat tests/acceptance tests/faults/test_quick.py tests/integration/apps
finish servers
finish spaces

sort -rn "$logs/durations"
if ((failed)); then
  printf 'make test: failed after %d s; what each part said is in %s\n' "$SECONDS" "$logs"
  exit 1
fi
printf 'make test: passed in %d s\n' "$SECONDS"
