"""The create body, field by field."""

from __future__ import annotations

from typing import Any

from spacedock_worker.containers.body import Limits, Site, create_body
from spacedock_worker.containers.spec import ContainerSpec

SPEC = ContainerSpec("mood", "spacedock/space-mood:1", "sha256:1", env={"MODEL": "small"})
LIMITS = Limits(memory=2 * 2**30, pids=512, tmp_size=2**29)


def body(spec: ContainerSpec = SPEC, limits: Limits = LIMITS, *, publish: bool = False) -> dict[str, Any]:
    return create_body(spec, limits, Site("me", "spacedock", publish=publish))


def test_the_walls_are_up() -> None:
    host = body()["HostConfig"]
    assert body()["User"] == "1000:1000"
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["Privileged"] is False
    assert host["Memory"] == host["MemorySwap"] == 2 * 2**30
    assert host["PidsLimit"] == 512
    assert host["IpcMode"] == "private"
    assert {"Name": "core", "Soft": 0, "Hard": 0} in host["Ulimits"]
    assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "1"}
    assert host["RestartPolicy"] == {"Name": "no"}
    assert host["Init"] is True
    assert host["NetworkMode"] == "spacedock"
    assert host["Tmpfs"] == {"/tmp": f"rw,nosuid,nodev,exec,mode=1777,size={2**29}"}


def test_nothing_of_the_host_is_handed_in() -> None:
    host = body()["HostConfig"]
    assert not {"Binds", "Mounts", "Devices", "VolumesFrom", "CapAdd", "PidMode", "UTSMode"} & host.keys()


def test_the_environment_is_the_hubs_without_its_identity() -> None:
    env = dict(line.split("=", 1) for line in body()["Env"])
    assert env["GRADIO_SERVER_NAME"] == "0.0.0.0"
    assert env["GRADIO_SERVER_PORT"] == "7860"
    assert env["GRADIO_ANALYTICS_ENABLED"] == "False"
    assert env["HF_HUB_DISABLE_TELEMETRY"] == "1"
    assert env["SPACES_ZERO_GPU"] == "false"
    assert env["MEMORY"] == "2Gi"
    assert env["MODEL"] == "small"
    assert "SPACE_ID" not in env


def test_a_port_is_published_only_where_asked_and_only_at_the_loopback() -> None:
    assert "PortBindings" not in body()["HostConfig"]
    published = body(publish=True)["HostConfig"]["PortBindings"]
    assert published == {"7860/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}


def test_cpus_are_limited_where_set() -> None:
    assert "NanoCpus" not in body()["HostConfig"]
    limited = body(limits=Limits(memory=2**30, pids=512, tmp_size=2**29, cpus=1.5))
    assert limited["HostConfig"]["NanoCpus"] == 1_500_000_000
    assert "CPU_CORES=1" in limited["Env"]


def test_a_command_takes_the_place_of_the_images_own() -> None:
    assert "Cmd" not in body()
    own = body(ContainerSpec("mood", "x", "y", command=("python", "app.py")))
    assert (own["Entrypoint"], own["Cmd"]) == ([], ["python", "app.py"])


def test_labels_say_whose_it_is() -> None:
    assert body()["Labels"] == {"io.spacedock.owner": "me", "io.spacedock.space": "mood"}


def test_specs_share_a_container_only_where_they_run_the_same() -> None:
    same = ContainerSpec("mood", "another:tag", "sha256:1", env={"MODEL": "small"})
    assert SPEC.key == same.key
    assert SPEC.key != ContainerSpec("mood", SPEC.reference, "sha256:1", env={"MODEL": "big"}).key
    assert SPEC.key != ContainerSpec("mood", SPEC.reference, "sha256:2", env={"MODEL": "small"}).key
