#!/usr/bin/env bash
# Builds what a release ships, the wheel and the source archive, into dist/; checks what they hold and how
# an index would show them; and tries the wheel where the repository cannot be seen (try-wheel.sh).
set -euo pipefail
cd "$(dirname "$0")/../.."
python=.venv/bin/python

rm -rf dist
said=$(mktemp)
trap 'rm -f "$said"' EXIT
"$python" -m build --outdir dist . >"$said" 2>&1 || {
  cat "$said" >&2
  exit 1
}
"$python" deploy/dist/contents.py dist
"$python" -m twine check --strict dist/*
deploy/dist/try-wheel.sh "$(echo "$PWD"/dist/*.whl)"
