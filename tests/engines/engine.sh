#!/usr/bin/env bash
# Other container engines on this machine, each from unpacked Debian packages and in namespaces of its own.
#
# usage: tests/engines/engine.sh start NAME         start it, if it is not running, and wait until it answers
#        tests/engines/engine.sh in NAME COMMAND…   run a command of this machine where NAME is the engine
#        tests/engines/engine.sh stop NAME          end its processes and its network; its images are kept
#        tests/engines/engine.sh remove NAME        stop it, and remove its images too
#
# NAME is one of 26, 26-containerd, 28, 28-containerd (which keep images in Docker's own store or in
# containerd's) and podman. See debian.sh for what is needed and where things are kept.
set -euo pipefail
# shellcheck source=tests/engines/debian.sh
. "$(dirname "$0")/debian.sh"

start_seconds=90

system_of() {
  case $1 in
  26 | 26-containerd | podman) echo trixie ;;
  28 | 28-containerd) echo sid ;;
  *) fail "there is no engine '$1': 26, 26-containerd, 28, 28-containerd or podman" ;;
  esac
}

command_of() {
  case $1 in
  # Podman leaves files where it is started.
  podman)
    echo env "--chdir=$folder" "CONTAINERS_CONF=$folder/containers.conf" \
      podman --root "$folder/data" --runroot /run/containers system service --time=0 unix:///run/docker.sock
    ;;
  *) echo dockerd --data-root "$folder/data" --config-file "$folder/daemon.json" --log-level warn ;;
  esac
}

answers() { DOCKER_HOST=unix://$folder/run/docker.sock timeout 10 docker version >/dev/null 2>&1; }

configure() {
  local containerd=false
  [[ $name != *-containerd ]] || containerd=true
  rm -rf "$folder/run"
  mkdir -p "$folder/data" "$folder/run"
  printf '{"features": {"containerd-snapshotter": %s}}\n' "$containerd" >"$folder/daemon.json"
  # Podman's own default is more than a machine may allow.
  printf '[containers]\ndefault_ulimits = ["nofile=%s:%s", "nproc=%s:%s"]\n' \
    "$(ulimit -Hn)" "$(ulimit -Hn)" "$(ulimit -Hu)" "$(ulimit -Hu)" >"$folder/containers.conf"
  printf 'nameserver %s\n' "$name_server" >"$folder/resolv.conf"
}

start() {
  local system
  system=$(system_of "$name")
  mkdir -p "$folder"
  exec 9>"$folder/lock"
  flock 9
  answers && return
  unpack "$system" >/dev/null
  configure
  open_network "$netns" "$folder"
  # shellcheck disable=SC2046
  RESOLV_CONF=$folder/resolv.conf setsid nsenter --net="/run/netns/$netns" \
    unshare --mount --propagation private "$here/debian.sh" change-into "$system" "$folder" \
    $(command_of "$name") >"$folder/engine.log" 2>&1 </dev/null 9>&- &
  echo $! >"$folder/engine.pid"
  local end=$((SECONDS + start_seconds))
  until answers; do
    alive "$folder/engine.pid" && [ "$SECONDS" -lt "$end" ] || {
      tail -n 20 "$folder/engine.log" >&2
      fail "$name did not start; the last lines of $folder/engine.log are above"
    }
    sleep 0.3
  done
  echo "$name started"
}

run_in() {
  answers || fail "$name does not run: $0 start $name"
  [ -e /run/docker.sock ] || touch /run/docker.sock
  # shellcheck disable=SC2016
  exec nsenter --net="/run/netns/$netns" unshare --mount --propagation private sh -c '
    mount --bind "$1/run/docker.sock" /run/docker.sock
    mount --bind "$1/resolv.conf" /etc/resolv.conf
    shift
    exec env -u DOCKER_HOST "$@"' sh "$folder" "$@"
}

stop() {
  # Podman's containers outlive its service; one may be on its way out.
  if [ "$name" = podman ] && answers; then
    export DOCKER_HOST=unix://$folder/run/docker.sock
    docker ps --all --quiet | xargs --no-run-if-empty docker rm --force >/dev/null 2>&1 || true
  fi
  end_process "$folder/engine.pid"
  close_network "$netns" "$folder"
}

[ "$#" -ge 2 ] || fail "usage: $0 start|in|stop|remove NAME"
action=$1 name=$2
shift 2
system_of "$name" >/dev/null
folder=$home/$name
netns=spacedock-$name
case $action in
start | stop) "$action" ;;
in) run_in "$@" ;;
remove)
  stop
  rm -rf "$folder"
  ;;
*) fail "there is no '$action': start, in, stop or remove" ;;
esac
