"""The create body, field by field, and the table that says where each comes from."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spacedock_worker.containers.docker.create_body import (
    HOST_NAMES,
    ContainerLimits,
    Site,
    cache_path,
    create_body,
    environment,
    task_body,
)
from spacedock_worker.containers.spec import ContainerSpec

SPEC = ContainerSpec("mood", "spacedock/space-mood:1", "sha256:1", env={"MODEL": "small"})
LIMITS = ContainerLimits(memory=2 * 2**30, pids=512, tmp_size=2**29)
EVERYTHING = replace(SPEC, command=("x",), sealed=True, read_only=True, cache="/cache", runtime="runsc")
TABLE = Path(__file__).parents[2] / "docs/security.md"


def body(
    spec: ContainerSpec = SPEC, limits: ContainerLimits = LIMITS, *, publish: bool = False, **more: Any
) -> dict[str, Any]:
    return create_body(spec, limits, Site("me", "spacedock", publish=publish, **more))


def host(spec: ContainerSpec = SPEC, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = body(spec, **more)["HostConfig"]
    return found


def env(spec: ContainerSpec = SPEC, **more: Any) -> dict[str, str]:
    return dict(line.split("=", 1) for line in body(spec, **more)["Env"])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("CapDrop", ["ALL"]),
        ("SecurityOpt", ["no-new-privileges"]),
        ("Privileged", False),
        ("NetworkMode", "spacedock"),
        ("IpcMode", "private"),
        ("CgroupnsMode", "private"),
        ("ReadonlyRootfs", False),
        ("Memory", 2 * 2**30),
        ("MemorySwap", 2 * 2**30),
        ("PidsLimit", 512),
        ("ShmSize", 64 * 2**20),
        ("Tmpfs", {"/tmp": f"rw,nosuid,nodev,exec,mode=1777,size={2**29}"}),
        ("Init", True),
        ("RestartPolicy", {"Name": "no"}),
        ("AutoRemove", False),
        ("LogConfig", {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "1"}}),
        (
            "Ulimits",
            [{"Name": "nofile", "Soft": 4096, "Hard": 4096}, {"Name": "core", "Soft": 0, "Hard": 0}],
        ),
    ],
)
def test_each_wall_is_up_whatever_the_space_says(field: str, value: object) -> None:
    assert host()[field] == value


def test_nobody_is_root() -> None:
    assert body()["User"] == "1000:1000"


def test_it_is_the_spaces_image() -> None:
    assert body()["Image"] == "spacedock/space-mood:1"


def test_nothing_of_the_host_is_handed_in() -> None:
    found = host(EVERYTHING, cache="mine", gpus=("GPU-1",))
    handed = {"Binds", "Devices", "VolumesFrom", "CapAdd", "PidMode", "UTSMode", "UsernsMode", "ExtraHosts"}
    assert not handed & found.keys()
    assert {mount["Type"] for mount in found["Mounts"]} == {"volume"}


def test_a_read_only_root_has_small_folders_in_memory() -> None:
    found = host(replace(SPEC, read_only=True))
    assert found["ReadonlyRootfs"] is True
    assert found["Tmpfs"]["/var/tmp"] == f"rw,nosuid,nodev,exec,mode=1777,size={64 * 2**20}"


def test_libraries_of_a_read_only_root_write_to_memory() -> None:
    assert "MPLCONFIGDIR" not in env()
    told = env(replace(SPEC, read_only=True, env={"NUMBA_CACHE_DIR": "/mine"}))
    assert (told["MPLCONFIGDIR"], told["NUMBA_CACHE_DIR"]) == ("/tmp/matplotlib", "/mine")


@pytest.mark.parametrize("name", ["HF_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "HOME"])
def test_folders_that_images_fill_stay_where_they_are(name: str) -> None:
    assert name not in env(EVERYTHING, cache="mine")


def test_a_sealed_container_asks_no_name_server_and_no_hub() -> None:
    assert not {"Dns", "DnsOptions"} & host().keys()
    found = host(replace(SPEC, sealed=True))
    assert "ExtraHosts" not in found
    assert "ExtraHosts" not in host(hidden=HOST_NAMES)
    assert host(replace(SPEC, sealed=True), hidden=HOST_NAMES)["ExtraHosts"] == [
        "host.containers.internal:127.0.0.1",
        "host.docker.internal:127.0.0.1",
    ]
    assert (found["Dns"], found["DnsOptions"]) == (["127.0.0.1"], ["timeout:1", "attempts:1"])
    told = env(replace(SPEC, sealed=True))
    offline = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")
    assert {name: told[name] for name in offline} == dict.fromkeys(offline, "1")
    assert not set(offline) & env().keys()


def test_what_a_private_container_prints_is_kept_in_no_log() -> None:
    assert host(replace(SPEC, private=True))["LogConfig"] == {"Type": "none"}


def test_a_cache_is_a_volume_at_the_images_place() -> None:
    found = host(replace(SPEC, cache="/home/user/.cache"), cache="mine")
    mount = {"Type": "volume", "Source": "mine", "Target": "/home/user/.cache", "ReadOnly": False}
    assert found["Mounts"] == [mount]
    assert "Mounts" not in host(replace(SPEC, cache="/home/user/.cache"))
    assert "Mounts" not in host(cache="mine")


def test_a_private_container_cannot_leave_anything_in_its_cache() -> None:
    spec = replace(SPEC, cache="/home/user/.cache", private=True)
    assert host(spec, cache="mine")["Mounts"][0]["ReadOnly"] is True
    assert env(spec)["HF_MODULES_CACHE"] == "/tmp/hf-modules"


@pytest.mark.parametrize(
    ("said", "taken"),
    [
        ("/home/user/.cache", "/home/user/.cache"),
        ("/data/.huggingface/", "/data/.huggingface"),
        ("//data", "/data"),
        ("/tmp/hf", "/tmp/hf"),
        ("relative", None),
        ("", None),
        (None, None),
        ("/", None),
        ("//", None),
        ("/tmp", None),
        ("/home/user/app", None),
        ("/proc/1", None),
        ("/data/../proc", None),
        ("/workspace/output", None),
        ("/usr/lib/python3", None),
        ("/da\0ta", None),
    ],
)
def test_a_cache_hides_nothing_that_others_need(said: str | None, taken: str | None) -> None:
    assert cache_path(said) == taken


def test_gpus_come_by_their_ids() -> None:
    assert "DeviceRequests" not in host()
    [request] = host(gpus=("GPU-1",))["DeviceRequests"]
    assert request == {"Driver": "nvidia", "DeviceIDs": ["GPU-1"], "Capabilities": [["gpu"]]}


def test_without_a_gpu_the_image_cannot_ask_for_one() -> None:
    greedy = replace(SPEC, env={"NVIDIA_VISIBLE_DEVICES": "all"})
    assert env(greedy)["NVIDIA_VISIBLE_DEVICES"] == "void"
    assert env(greedy, gpus=("GPU-1",))["NVIDIA_VISIBLE_DEVICES"] == "all"


def test_the_spaces_runtime_goes_before_the_hosts() -> None:
    assert "Runtime" not in host()
    assert host(runtime="runsc")["Runtime"] == "runsc"
    assert host(replace(SPEC, runtime="kata"), runtime="runsc")["Runtime"] == "kata"


def test_secrets_are_variables_and_win() -> None:
    spec = replace(SPEC, secrets={"MODEL": "secret", "KEY": "k"})
    assert (env(spec)["MODEL"], env(spec)["KEY"]) == ("secret", "k")
    assert "secret" not in json.dumps({**body(spec), "Env": None})
    assert "secret" not in repr(spec)


def test_secrets_win_over_what_a_task_says() -> None:
    spec = replace(SPEC, secrets={"KEY": "secret"})
    found = task_body(spec, LIMITS, Site("me", "n"), {"KEY": "task"})["Env"]
    assert "KEY=secret" in found


def test_the_environment_tells_the_containers_own_memory() -> None:
    assert environment(SPEC, 1536 * 2**20)["MEMORY"] == "1536Mi"
    assert environment(SPEC, 512 * 2**20)["MEMORY"] == "512Mi"


def test_the_environment_is_the_hubs_without_its_identity() -> None:
    told = env()
    assert told["GRADIO_SERVER_NAME"] == "0.0.0.0"
    assert told["GRADIO_SERVER_PORT"] == "7860"
    assert told["GRADIO_ANALYTICS_ENABLED"] == "False"
    assert told["HF_HUB_DISABLE_TELEMETRY"] == "1"
    assert told["SPACES_ZERO_GPU"] == "false"
    assert told["MEMORY"] == "2Gi"
    assert told["MODEL"] == "small"
    assert "SPACE_ID" not in told


def test_a_port_is_published_only_where_asked_and_only_at_the_loopback() -> None:
    assert body()["ExposedPorts"] == {"7860/tcp": {}}
    assert "PortBindings" not in host()
    assert host(publish=True)["PortBindings"] == {"7860/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}


def test_cpus_are_limited_where_set() -> None:
    assert "NanoCpus" not in host()
    limited = body(limits=replace(LIMITS, cpus=1.5))
    assert limited["HostConfig"]["NanoCpus"] == 1_500_000_000
    assert "CPU_CORES=1" in limited["Env"]


def test_a_command_takes_the_place_of_the_images_own() -> None:
    assert not {"Entrypoint", "Cmd"} & body().keys()
    own = body(replace(SPEC, command=("python", "app.py")))
    assert (own["Entrypoint"], own["Cmd"]) == ([], ["python", "app.py"])


def test_labels_say_whose_it_is() -> None:
    assert body()["Labels"] == {"io.spacedock.owner": "me", "io.spacedock.space": "mood"}


def test_every_setting_is_in_the_table_of_the_docs() -> None:
    told = body(EVERYTHING, replace(LIMITS, cpus=1.0), publish=True, cache="mine", gpus=("GPU-1",))
    task = task_body(EVERYTHING, LIMITS, Site("me", "n"), {})
    keys = (told.keys() | task.keys() | told["HostConfig"].keys()) - {"HostConfig"}
    rows = [line.split("|")[1] for line in TABLE.read_text("utf-8").splitlines() if line.startswith("| `")]
    assert keys == {key for row in rows for key in re.findall(r"`(\w+)`", row)}


def test_specs_share_a_container_only_where_they_run_the_same() -> None:
    assert SPEC.key == replace(SPEC, reference="another:tag").key
    others = {
        "env": {"MODEL": "big"},
        "digest": "sha256:2",
        "sealed": True,
        "private": True,
        "read_only": True,
        "cache": "/cache",
        "gpu": 1,
        "runtime": "runsc",
        "secrets": {"KEY": "k"},
    }
    assert SPEC.key not in {replace(SPEC, **{name: value}).key for name, value in others.items()}  # type: ignore[arg-type]
