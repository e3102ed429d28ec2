# Runs in the container of one build: a Docker Engine of its own, whose BuildKit builds /build/context.
# Its arguments are those of `docker buildx build`; $IMAGE is the name of what is built, left in
# /build/out; $BASES are the names of the images in /build/images.
set -eu
# Until the engine answers, it is the host that has no BuildKit; after that, what fails is the build.
trap '[ $? = 0 ] || exit 90' EXIT

# The engine makes a control group for each step, below this container's own.
for mount in $(awk '$2 ~ "^/sys/fs/cgroup" { print $2 }' /proc/mounts); do
  mount -o remount,bind,rw "$mount"
done
if [ -f /sys/fs/cgroup/cgroup.subtree_control ]; then
  # A group of version 2 hands its controllers on only if it has no processes itself.
  mkdir -p /sys/fs/cgroup/builder
  for process in $(cat /sys/fs/cgroup/cgroup.procs); do
    echo "$process" >/sys/fs/cgroup/builder/cgroup.procs 2>/dev/null || :
  done
  for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do
    echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null || :
  done
fi

export DOCKER_HOST=unix:///run/builder.sock BUILDX_NO_DEFAULT_ATTESTATIONS=1
# The kernel's AppArmor is the host's: the engine looks for none in what calls itself a container.
export container=docker
# No bridge, no firewall: the steps are on this container's network, where nothing listens.
dockerd --host="$DOCKER_HOST" --data-root=/engine --exec-root=/run/builder --pidfile=/run/builder.pid \
  --bridge=none --iptables=false --ip6tables=false --log-level=error >/run/builder.log 2>&1 &
engine=$!
until docker version >/dev/null 2>&1; do
  if ! kill -0 "$engine" 2>/dev/null; then
    sed 's/^/engine: /' /run/builder.log
    exit 90
  fi
  sleep 0.1
done
trap - EXIT

if [ -e /build/images/manifest.json ]; then
  tar -C /build/images -c . | docker load --quiet >/dev/null
  rm -rf /build/images
fi
for base in $BASES; do
  # Podman calls an image of its host so.
  docker image inspect "$base" >/dev/null 2>&1 || docker tag "localhost/$base" "$base" 2>/dev/null || :
done
# What these leave out was left out before.
rm -f /build/context/.dockerignore /build/context/Dockerfile.dockerignore

build="docker buildx build"
for plugin in /usr/libexec/docker /usr/local/libexec/docker /usr/lib/docker /usr/local/lib/docker; do
  # By itself it opens no abstract socket, which steps could reach.
  [ ! -x "$plugin/cli-plugins/docker-buildx" ] || build="$plugin/cli-plugins/docker-buildx build"
done
$build --progress=plain --network=host --tag="$IMAGE" "$@" /build/context
docker save "$IMAGE" | tar -C /build/out -x
