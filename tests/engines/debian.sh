#!/usr/bin/env bash
# Other Debian systems on this machine, unpacked from their packages: what the tests of engines, Pythons and
# bare machines run in. Nothing is booted, and the machine's own packages stay as they are.
#
# usage: tests/engines/debian.sh unpack SYSTEM               unpack it where it is not yet, and print its folder
#        tests/engines/debian.sh in SYSTEM FOLDER COMMAND…   run a command there; what it changes is kept in FOLDER
#
# SYSTEM is trixie or sid (with engines, Pythons and queues), or bare-bookworm or bare-trixie (with python3 and
# make alone). Needs root, mmdebstrap and passt. SPACEDOCK_ENGINES names the folder for everything (default:
# /var/tmp/spacedock-engines): a system takes 0.7 GB, an engine with the images of all tests up to 10 GB.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
checkout=$(cd "$here/../.." && pwd)
home=${SPACEDOCK_ENGINES:-/var/tmp/spacedock-engines}
# There is no server at this address: pasta takes what is sent there to this machine's own name server.
name_server=198.51.100.53
packages=docker.io,docker-cli,docker-buildx,iptables,iproute2,procps,ca-certificates,libgomp1,git
packages+=,podman,netavark,nftables,aardvark-dns,catatonit,passt,python3,python3-venv
packages+=,redis-server,redis-sentinel,valkey-server,systemd

fail() {
  printf '%s: %s\n' "$(basename "$0" .sh)" "$*" >&2
  exit 1
}

# Debian 12's own pasta breaks the connections of containers, so Debian 13's is taken.
ensure_tools() {
  [ "$(id -u)" = 0 ] || fail "root is needed for namespaces and unpacked systems"
  command -v mmdebstrap >/dev/null || fail "mmdebstrap is missing: apt-get install mmdebstrap"
}

# `unpack SYSTEM` prints the folder. Sid's lists are published with a date that soon passes.
unpack() {
  local system=$1 root=$home/roots/$1 suite=${1#bare-} wanted=$packages
  [[ $system != bare-* ]] || wanted=python3,make
  mkdir -p "$home/roots"
  (
    exec 8>"$root.lock"
    flock 8
    [ ! -f "$root.made" ] || exit 0
    ensure_tools
    rm -rf "$root"
    install -d -m 755 "$root"
    mmdebstrap --mode=root --variant=minbase --include="$wanted" \
      --aptopt='Acquire::Check-Valid-Until "false"' --dpkgopt=force-unsafe-io \
      --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
      --dpkgopt='path-exclude=/usr/share/doc/*' \
      "$suite" "$root" >"$root.log" 2>&1 || {
      tail -n 20 "$root.log" >&2
      fail "Debian $suite could not be unpacked; the last lines of $root.log are above"
    }
    touch "$root.made"
  )
  printf '%s\n' "$root"
}

# `open_network NAME FOLDER`: a network namespace whose only way out is a process of ours.
open_network() {
  local name=$1 folder=$2 root
  root=$(unpack trixie)
  [ -e "/run/netns/$name" ] || ip netns add "$name"
  alive "$folder/pasta.pid" && return
  # By its own loader, because it needs a newer C library than Debian 12 has.
  setsid "$root/lib64/ld-linux-x86-64.so.2" --library-path "$root/usr/lib/x86_64-linux-gnu" \
    "$root/usr/bin/pasta" --foreground --quiet --runas 0 --config-net -4 -t none -u none -T none -U none \
    --dns-forward "$name_server" --no-map-gw --netns "/run/netns/$name" \
    >"$folder/pasta.log" 2>&1 </dev/null 9>&- &
  echo $! >"$folder/pasta.pid"
  until ip -n "$name" route 2>/dev/null | grep -q default; do
    alive "$folder/pasta.pid" || fail "pasta ended: $(cat "$folder/pasta.log")"
    sleep 0.1
  done
}

close_network() {
  end_process "$2/pasta.pid"
  [ ! -e "/run/netns/$1" ] || ip netns del "$1"
}

alive() { [ -s "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null; }

end_process() {
  alive "$1" || return 0
  local pid end=$((SECONDS + 30))
  pid=$(cat "$1")
  kill "$pid"
  while kill -0 "$pid" 2>/dev/null; do
    [ "$SECONDS" -lt "$end" ] || kill -9 "$pid"
    sleep 0.1
  done
  rm "$1"
}

# In mount and network namespaces of its own, replaces everything by the unpacked system.
change_into() {
  local root=$home/roots/$1 folder=$2 system=$2/system path shared=("$2" /tmp "$checkout")
  # A bare machine has nothing of this one but a copy of the checkout in its folder.
  [[ $1 != bare-* ]] || shared=("$2")
  shift 2
  mkdir -p "$folder"/{changes,work,system,run,docker}
  mount -t overlay overlay -o "lowerdir=$root,upperdir=$folder/changes,workdir=$folder/work" "$system"
  mount -t proc proc "$system/proc"
  mount -t sysfs sysfs "$system/sys"
  mount --rbind /sys/fs/cgroup "$system/sys/fs/cgroup"
  mount --rbind /dev "$system/dev"
  mount --bind "$folder/run" "$system/run"
  # At the same places as outside, because tests name them to the engine and look into its data.
  for path in "${shared[@]}"; do
    mkdir -p "$system$path"
    mount --bind "$path" "$system$path"
  done
  # An engine there cannot keep layers on the layers that the system itself is made of.
  mkdir -p "$system/var/lib/docker"
  mount --bind "$folder/docker" "$system/var/lib/docker"
  trust "$system"
  cp "${RESOLV_CONF:-/etc/resolv.conf}" "$system/etc/resolv.conf"
  cp /etc/hosts "$system/etc/hosts"
  cd "$system"
  pivot_root . .
  umount -l .
  cd "${shared[-1]}"
  exec env -u PIP_FIND_LINKS -u DOCKER_HOST -u RESOLV_CONF HOME=/root \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

# What this machine trusts (a company's proxy, say) is trusted there too.
trust() {
  mkdir -p "$1/etc/ssl/certs" "$1/usr/local/share/ca-certificates"
  cp /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/"
  find /usr/local/share/ca-certificates -name '*.crt' -exec cp -t "$1/usr/local/share/ca-certificates" {} +
}

# Sourced by engine.sh and bare-demo.sh for its functions.
[ "${BASH_SOURCE[0]}" = "$0" ] || return 0
case ${1:-} in
unpack) unpack "$2" ;;
in)
  unpack "$2" >/dev/null
  exec unshare --mount --propagation private "$0" change-into "${@:2}"
  ;;
change-into) change_into "${@:2}" ;;
*) fail "usage: $0 unpack SYSTEM, or in SYSTEM FOLDER COMMAND…" ;;
esac
