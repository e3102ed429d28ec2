# shellcheck shell=bash
# Installs Debian packages; sourced by the scripts beside it. One apt-get of ours runs at a time, because
# two at once fail at the lock of the package lists, for which apt-get itself does not wait.

apt_deadline=${APT_DEADLINE:-300}
apt_lock=${APT_LOCK:-/run/spacedock-apt.lock}
apt_fetched=$apt_lock.fetched
# Package lists that are younger are taken as they are: the scripts run within minutes of each other.
apt_fresh_minutes=10

root_with_apt() {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && grep -Eq '^ID(_LIKE)?=.*(debian|ubuntu)' /etc/os-release
}

# `apt_install PACKAGE…`; where it fails, apt-get's own words go to standard error.
apt_install() { (take_apt_lock && fetch_lists && apt_get install -y --no-install-recommends "$@"); }

# Fetches the lists of packages, for a look into them.
apt_refresh() { (take_apt_lock && fetch_lists); }

# Returns once none of ours runs, not even one that outlived the script that began it.
apt_wait() { (take_apt_lock); }

take_apt_lock() {
  exec 8>>"$apt_lock"
  flock 8
}

fetch_lists() {
  [ -z "$(find "$apt_fetched" -mmin "-$apt_fresh_minutes" 2>/dev/null)" ] || return 0
  apt_get update && touch "$apt_fetched"
}

# In a session of its own, because Ctrl-C, or a failure beside it, must not end dpkg halfway. It waits for
# others' apt-get (unattended upgrades, say) at either lock. Its words go to a file, not a pipe: a service
# that a package starts would keep that open.
apt_get() {
  local said end=$((SECONDS + apt_deadline)) status=0
  said=$(mktemp)
  until DEBIAN_FRONTEND=noninteractive setsid --wait apt-get -q -o DPkg::Lock::Timeout="$apt_deadline" "$@" \
    >"$said" 2>&1 </dev/null 9>&-; do
    if [ "$SECONDS" -ge "$end" ] || ! grep -q 'Could not get lock' "$said"; then
      cat "$said" >&2
      printf 'failed: apt-get %s\n' "$*" >&2
      status=1
      break
    fi
    sleep 1
  done
  rm "$said"
  return "$status"
}
