#!/usr/bin/env bash
# `make demo` on a bare Debian: python3 and make are there, and neither venv, pip, Docker nor what they need.
#
# usage: tests/engines/bare-demo.sh SUITE [TARGET]     (bookworm or trixie; default: demo)
#
# The Debian is unpacked afresh into namespaces of its own, and gone at the end with all that ran in it.
# Exits as make does. See debian.sh for what is needed and where things are kept.
set -euo pipefail
# shellcheck source=tests/engines/debian.sh
. "$(dirname "$0")/debian.sh"

suite=${1:-}
[[ $suite =~ ^(bookworm|trixie)$ ]] || fail "usage: $0 bookworm|trixie [TARGET]"
folder=$home/bare-$suite-$$
netns=spacedock-bare-$suite-$$

cleanup() {
  close_network "$netns" "$folder"
  rm -rf "$folder"
}

unpack "bare-$suite" >/dev/null
mkdir -p "$folder/checkout"
trap cleanup EXIT
trap 'exit 143' INT TERM
git -C "$checkout" ls-files -z | tar -C "$checkout" --null --files-from=- -cf - | tar -C "$folder/checkout" -xf -
printf 'nameserver %s\n' "$name_server" >"$folder/resolv.conf"
open_network "$netns" "$folder"
status=0
# All processes there end with the first one, the engine too.
RESOLV_CONF=$folder/resolv.conf nsenter --net="/run/netns/$netns" \
  unshare --mount --propagation private --pid --fork --kill-child \
  "$here/debian.sh" change-into "bare-$suite" "$folder" \
  make -C "$folder/checkout" "${2:-demo}" </dev/null || status=$?
printf 'bare-demo: make %s on a bare Debian %s: exit %s after %s s\n' "${2:-demo}" "$suite" "$status" "$SECONDS"
exit "$status"
