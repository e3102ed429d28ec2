#!/usr/bin/env bash
# `make test`: every test that CI runs, in three phases, with what each took. Images of test Spaces are built
# beside the first phase, which needs none of them. The machine must be set up (make does that).
set -euo pipefail
cd "$(dirname "$0")/.."
bin=.venv/bin
durations=()

# The tests of these files measure what other work on the machine would change, so each runs alone:
# test_kills looks for what a killed worker leaves on the whole machine; test_queue_rounds has bars in seconds;
# test_storms draws a seed anew, which processes side by side would do each for itself.
alone=(tests/acceptance/test_kills.py tests/acceptance/test_storms.py tests/integration/queue/test_queue_rounds.py)
not_alone=("${alone[@]/#/--ignore=}")

# Runs a command as a phase: phase NAME COMMAND…
phase() {
  local name=$1 began=$SECONDS
  shift
  "$@"
  durations+=("$(printf '%4d s  %s' $((SECONDS - began)) "$name")")
}

layers=.cache/layers.log
"$bin"/python -m tests.layers >"$layers" 2>&1 &
building=$!
trap 'kill "$building" 2>/dev/null || true' EXIT

images_ready() { wait "$building" || { cat "$layers" >&2; return 1; }; }

phase "style and types" make --no-print-directory style
# Files stay whole: the tests of one share servers and Spaces that take seconds to start.
phase "tests without Spaces of Gradio" "$bin"/pytest -q -n 2 --dist loadfile "${not_alone[@]}" \
  tests/unit tests/routing tests/integration --ignore tests/integration/apps
phase "images of test Spaces" images_ready
phase "tests with Spaces" "$bin"/pytest -q -n 3 --dist loadfile --durations=15 "${not_alone[@]}" \
  tests/compat tests/acceptance tests/integration/apps
phase "tests that run alone" "$bin"/pytest -q "${alone[@]}"

printf 'make test: passed in %d s\n' "$SECONDS"
printf '%s\n' "${durations[@]}"
