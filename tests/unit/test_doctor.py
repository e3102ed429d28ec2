"""What `spacedock doctor` makes of an engine, a queue's server, a host and a configuration."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from tests.engine_double import engine_double
from tests.image_registry import image_registry
from tests.quickest import Quickest

from spacedock._wire.connection import connect
from spacedock._wire.view import doctor as queue
from spacedock.cli.commands.doctor import lines
from spacedock.hosts import Host
from spacedock.replies.host import Area, DoctorLine
from spacedock_worker.containers.machine.capacity import EngineInfo, Machine
from spacedock_worker.containers.machine.gpu import Device
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.control import doctor
from spacedock_worker.control.doctor_engine import (
    EngineNetworks,
    base_line,
    engine_lines,
    gpu_lines,
    limit_lines,
)
from spacedock_worker.images.settings import ImageSettings
from spacedockd.commands.doctor import examine

GB = 2**30
SOUND = EngineInfo(
    version="28.5.2",
    info={"Driver": "overlay2", "CgroupVersion": "2", "CgroupDriver": "systemd", "NCPU": 4},
    machine=Machine(memory=16 * GB, reachable=True),
    budget=15 * GB,
    disk_free=100 * GB,
)
SETTINGS = ContainerSettings(instance_id="test")
NETWORKS = EngineNetworks(4, default=True)


def found(made: Any) -> dict[str, DoctorLine]:
    """The lines by their subject."""
    return {line["subject"]: line for line in made}


def of_engine(info: EngineInfo, networks: EngineNetworks = NETWORKS, fault: str | None = None) -> Any:
    return found(engine_lines(info, "v1.51", networks, fault))


def said(**changes: Any) -> EngineInfo:
    return replace(SOUND, info={**SOUND.info, **changes})


def test_a_sound_engine_has_nothing_to_mend() -> None:
    assert {line["state"] for line in of_engine(SOUND).values()} == {"ok"}
    assert {line["state"] for line in limit_lines(SOUND, SETTINGS, 4 * GB)} == {"ok"}


@pytest.mark.parametrize(
    ("base", "made", "state", "said", "command"),
    [
        ("python:3.11-slim", None, "warning", "is not here", "docker pull python:3.11-slim"),
        ("python:3.11-slim", "2026-05-20T10:00:00.123456789Z", "ok", "12 days old", None),
        ("python:3.11-slim", "2025-06-01T00:00:00Z", "warning", "365 days old", "docker pull python"),
        ("spacedock/python:3.11", "2025-06-01T00:00:00Z", "warning", "365 days old", "spacedockd base-image"),
        ("python:3.11-slim", "0001-01-01T00:00:00Z", "ok", "does not say when it was made", None),
        ("python:3.11-slim", "", "ok", "does not say when it was made", None),
    ],
)
def test_the_base_image_is_there_and_not_old(
    base: str, made: str | None, state: str, said: str, command: str | None
) -> None:
    line = base_line(base, made, datetime(2026, 6, 1, 12, tzinfo=UTC))
    assert (line["subject"], line["state"]) == ("base image", state)
    assert said in line["message"]
    assert (command or "") in (line["command"] or "")
    assert (command is None) == (line["command"] is None)


@pytest.mark.parametrize(
    ("why", "command"),
    [
        ("Cannot connect [Permission denied]", "usermod -aG docker"),
        ("no answer within 10 s", "systemctl restart docker"),
        ("Cannot connect to unix socket [No such file or directory]", "apt-get install docker.io"),
        ("no Docker socket was found", "apt-get install docker.io"),
        ("Docker Engine 19 speaks API 1.40. Upgrade it", "--only-upgrade docker.io"),
        ("Connection refused", "systemctl start docker"),
    ],
)
def test_an_engine_that_cannot_be_asked_is_an_error_with_the_way_back(why: str, command: str) -> None:
    (line,) = of_engine(EngineInfo(trouble=why)).values()
    assert (line["state"], line["message"]) == ("error", why)
    assert command in (line["command"] or "")


@pytest.mark.parametrize(
    ("info", "subject", "state"),
    [
        (replace(SOUND, version="20.10.24+dfsg1"), "version", "warning"),
        (said(MemoryLimit=False), "cgroup", "error"),
        (said(SwapLimit=False), "cgroup", "warning"),
        (said(Driver="vfs"), "storage driver", "warning"),
        (said(IPv4Forwarding=False), "network", "error"),
        (replace(SOUND, disk_free=GB), "disk", "error"),
        (replace(SOUND, disk_free=5 * GB), "disk", "warning"),
    ],
)
def test_what_an_engine_lacks(info: EngineInfo, subject: str, state: str) -> None:
    line = of_engine(info)[subject]
    assert line["state"] == state
    assert line["command"]


def test_a_fault_of_the_host_and_its_networks_are_told() -> None:
    assert "no Space: overlay" in of_engine(SOUND, fault="overlay is broken")["starts"]["message"]
    assert of_engine(SOUND, EngineNetworks(29, default=True))["network"]["command"] == "docker network prune"
    assert of_engine(SOUND, EngineNetworks(2, default=False))["network"]["state"] == "warning"


def test_limits_that_the_host_cannot_give() -> None:
    small = replace(SOUND, budget=3 * GB, machine=Machine(2 * GB, reachable=True), disk_free=5 * GB)
    lines = found(limit_lines(small, SETTINGS.model_copy(update={"cpus": 8.0}), 4 * GB))
    assert {name: line["state"] for name, line in lines.items()} == {
        "memory": "warning",
        "builds": "warning",
        "cpus": "error",
        "disk": "warning",
    }
    assert "1 of 3 fit at once" in lines["memory"]["message"]
    (memory, *_) = limit_lines(replace(small, budget=GB), SETTINGS, GB)
    assert memory["state"] == "error"


def test_gpus_need_a_runtime_of_the_engine() -> None:
    gpu = Device(0, "GPU-0", 80 * GB, 79 * GB)
    assert found(gpu_lines(SOUND))["devices"]["state"] == "ok"
    (without,) = gpu_lines(replace(SOUND, gpus=(gpu,)))
    assert "nvidia-ctk" in (without["command"] or "")
    (given,) = gpu_lines(replace(said(Runtimes={"nvidia": {}}), gpus=(gpu,)))
    assert (given["state"], given["message"]) == ("ok", "0: 79.0 of 80.0 GB free")


@pytest.mark.parametrize(
    ("told", "subject", "state"),
    [
        ({"aof_enabled": 0}, "persistence", "warning"),
        ({"aof_enabled": 1, "aof_last_write_status": "err"}, "persistence", "error"),
        ({"maxmemory": 100, "maxmemory_policy": "allkeys-lru"}, "eviction", "error"),
        ({"maxmemory": 100, "used_memory": 90}, "memory", "warning"),
    ],
)
def test_a_server_that_loses_jobs(told: dict[str, Any], subject: str, state: str) -> None:
    line = found(queue.server({"redis_version": "7.2", **told}, "redis://:secret@db:6379/0"))[subject]
    assert line["state"] == state
    assert "secret" not in str(line)


def test_a_slow_server_and_a_clock_that_is_wrong() -> None:
    slow = found(queue.timing(0.2, -90.0))
    assert (slow["latency"]["state"], slow["clock"]["state"]) == ("warning", "warning")
    assert {line["state"] for line in queue.timing(0.001, 0.1)} == {"ok"}


def test_hosts_of_another_version_paused_ones_and_none() -> None:
    (none,) = queue.versions([])
    assert (none["state"], none["command"]) == ("error", "spacedockd")
    paused, other = queue.versions([Host(id="a", name="moon", version="9.9", paused=True)])
    assert paused["command"] == "spacedock hosts resume moon"
    assert "moon has 9.9" in other["message"]


async def test_a_real_server_is_looked_at(redis_url: str) -> None:
    async with connect(redis_url) as redis:
        seen = found(await queue.examine(redis, redis_url))
    assert seen["version"]["message"].startswith("Valkey ")
    assert seen["persistence"]["state"] == "warning"
    assert (seen["rights"]["state"], seen["hosts"]["state"]) == ("ok", "error")


async def test_a_user_without_rights_and_a_server_that_is_away(redis_url: str, tmp_path: Path) -> None:
    path = redis_url.removeprefix("unix://")
    async with connect(redis_url) as owner:
        await owner.execute_command("ACL SETUSER reader on >x ~* +hello +time +ping")
        try:
            async with Redis(unix_socket_path=path, username="reader", password="x") as redis:
                (line,) = await queue.examine(redis, redis_url)
                assert "lacks a right" in line["message"]
        finally:
            await owner.execute_command("ACL DELUSER reader")
    gone = f"unix://{tmp_path}/gone.sock"
    async with connect(gone) as redis:
        (line,) = await queue.examine(redis, gone)
    assert (line["subject"], line["state"]) == ("connection", "error")


def test_the_state_directory_is_the_daemons_alone(tmp_path: Path) -> None:
    def first(folder: Path, uid: int = os.getuid()) -> DoctorLine:
        return next(iter(doctor.state_lines(folder, uid)))

    tmp_path.chmod(0o700)
    assert first(tmp_path)["state"] == "ok"
    assert first(tmp_path, uid=12345)["command"] == f"sudo chown -R 12345 {tmp_path}"
    tmp_path.chmod(0o755)
    assert first(tmp_path)["command"] == f"chmod 700 {tmp_path}"
    assert first(tmp_path / "none")["state"] == "ok"
    (tmp_path / "file").touch()
    assert first(tmp_path / "file/none")["state"] == "error"


PASSWORD, HASHED = "open-sesame", "$2b$04$Rf8uRtSi6gmEee4nQl9BU.WC1QWHfCnygTdx7z6bsrf0PhXqw6BMW"


async def test_image_registries_say_whether_they_take_our_login(tmp_path: Path) -> None:
    (tmp_path / "htpasswd").write_text(f"user:{HASHED}\n")
    auth = f"auth: {{htpasswd: {{realm: basic-realm, path: '{tmp_path}/htpasswd'}}}}\n"
    with image_registry(tmp_path, auth) as host:
        wanting = await doctor.registry_line(host, ImageSettings())
        wrong = await doctor.registry_line(host, ImageSettings(hub_registry=host, hub_token="wrong"))
        right = await doctor.registry_line(host, ImageSettings(hub_registry=host, hub_token=PASSWORD))
    away = await doctor.registry_line(host, ImageSettings())
    assert [line["state"] for line in (wanting, wrong, right, away)] == ["warning", "error", "ok", "warning"]
    assert wanting["command"] == f"docker login {host}"
    assert (wrong["command"] or "").startswith(f"docker login {host} -u USER")


async def test_a_hub_that_is_not_asked_or_not_there() -> None:
    off = await doctor.hub_line(ImageSettings(hub_offline=True))
    away = await doctor.hub_line(ImageSettings(hub_endpoint="http://127.0.0.1:9"))
    assert (off["state"], away["state"]) == ("ok", "warning")


async def test_a_configuration_that_cannot_be_used_hides_nothing_else(tmp_path: Path) -> None:
    async with engine_double(tmp_path, {"info": {"MemTotal": 8 * GB}, "networks": []}) as (engine, _):
        env = {"HOME": str(tmp_path), "SPACEDOCK_MAX_JOBS": "0", "HF_HUB_OFFLINE": "1"}
        env["XDG_STATE_HOME"] = str(tmp_path / "state")
        options = {"containers": {"docker_host": engine.docker_host}}
        seen = found(await examine(None, options, env, 12345))
    assert "max_jobs" in seen["configuration"]["message"]
    assert seen["configuration"]["command"] == "spacedockd config --check"
    # It is made by the daemon's start, and by nothing that only looks.
    assert not (tmp_path / "state").exists()


def test_lines_for_people_keep_a_command_in_one_piece() -> None:
    long = "sudo " + "x" * 100
    shown = list(lines([Area("a").error("b", "words " * 40 + "\x1b[2J", long), Area("a").ok("c", "fine")]))
    assert f"{' ' * 30}$ {long}" in shown
    assert max(len(line) for line in shown if "$" not in line) <= 79
    assert "\x1b" not in "".join(shown)


def run(*command: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    path = str(Path(sys.executable).with_name(command[0]))
    return subprocess.run([path, *command[1:]], env=env, capture_output=True, text=True, check=False)


def test_the_command_works_where_the_daemon_does_not_start(tmp_path: Path) -> None:
    """With a configuration that is broken, no engine and no queue: the daemon points to what says so."""
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DOCKER_HOST": f"unix://{tmp_path}/no.sock"}
    env |= {"XDG_STATE_HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    env |= {"SPACEDOCK_MAX_JOBS": "0", "SPACEDOCK_LOOK_FOR_MODELS": "false"}
    refused = run("spacedockd", "--state-dir", str(tmp_path / "state"), env=env)
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1] == (
        "spacedockd: `spacedock doctor` says what else is wrong here, and how to mend it"
    )
    looks = Quickest(60.0)
    while looks.again:
        with looks.round():
            ran = run("spacedock", "doctor", "--json", "--redis", f"unix://{tmp_path}/no.sock", env=env)
    assert ran.returncode == 1, ran.stderr
    wrong = {line["area"]: line for line in json.loads(ran.stdout) if line["state"] == "error"}
    assert wrong.keys() >= {"queue", "host", "engine"}
    assert all(line["command"] for line in wrong.values())
    assert looks.under, looks.rounds
