#!/usr/bin/env bash
# deploy/compose on this machine's engine: the image built, a queue and two hosts started, one of them killed.
# No image registry is needed: the daemon's base and Valkey's image are made from Debian packages.
#
# usage: tests/engines/compose.sh     needs dist/*.whl, root, mmdebstrap, and Docker Compose
set -euo pipefail
cd "$(dirname "$0")/../.."

fail() {
  printf 'compose: %s\n' "$*" >&2
  exit 1
}

if docker compose version >/dev/null 2>&1; then
  compose=(docker compose)
else
  compose=(docker-compose)
  command -v docker-compose >/dev/null || fail "Docker Compose is missing: apt-get install docker-compose"
fi
work=$(mktemp -d)
compose+=(--project-name spacedock-test --file deploy/compose/compose.yaml)
export QUEUE_PASSWORD=open-sesame VALKEY_IMAGE=spacedock-test/valkey

# The host that was killed has left its Spaces' containers: it takes them along when it is started and stopped.
cleanup() {
  "${compose[@]}" start one >/dev/null 2>&1 || true
  "${compose[@]}" stop --timeout 45 one two >/dev/null 2>&1 || true
  "${compose[@]}" down --volumes --timeout 20 >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap cleanup EXIT

# `said WORDS COMMAND…`: it succeeds, and its output has the words.
said() {
  local words=$1 output
  shift
  output=$(timeout 300 "${compose[@]}" exec -T "$@" 2>&1) || fail "$* failed: $output"
  [[ $output == *"$words"* ]] || fail "$* does not say '$words': $output"
  printf 'compose: %s says "%s"\n' "$*" "$words"
}

mkdir "$work/base"
cp /etc/ssl/certs/ca-certificates.crt "$work/base/"
cat >"$work/base/Dockerfile" <<'FILE'
FROM spacedock/python:3.11
COPY ca-certificates.crt /etc/ssl/certs/
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt PIP_CERT=/etc/ssl/certs/ca-certificates.crt
FILE
docker build -q -t spacedock-test/compose-base "$work/base" >/dev/null
if ! docker image inspect "$VALKEY_IMAGE" >/dev/null 2>&1; then
  mmdebstrap --mode=root --variant=minbase --include=valkey-server,valkey-tools trixie - 2>"$work/log" |
    docker import - "$VALKEY_IMAGE" >/dev/null || fail "$(tail -n 5 "$work/log")"
fi
docker build -q -f deploy/compose/Containerfile --build-arg BASE=spacedock-test/compose-base -t spacedock dist >/dev/null
printf 'compose: the images are there, after %d s\n' "$SECONDS"

"${compose[@]}" up --detach
for _ in $(seq 120); do
  [[ $(docker inspect --format '{{.State.Health.Status}}' spacedock-test{-,_}{one,two}{-,_}1 2>/dev/null |
    grep -c '^healthy') != 2 ]] || break
  sleep 1
done
said 'one ' one spacedock hosts
said 'two ' one spacedock hosts
tar -C tests/spaces -cf - sentiment | "${compose[@]}" exec -T one tar -C /tmp -xf -
said 'positive' one spacedock run 'I love it' --space /tmp/sentiment
"${compose[@]}" kill one >/dev/null 2>&1
tar -C tests/spaces -cf - sentiment | "${compose[@]}" exec -T two tar -C /tmp -xf -
said 'negative' two spacedock run 'I hate it' --space /tmp/sentiment
printf 'compose: a host was killed, and the other one answered; %d s in all\n' "$SECONDS"
