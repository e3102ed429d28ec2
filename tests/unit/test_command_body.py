"""The create body of a program that runs once, against that of an app."""

from __future__ import annotations

from typing import Any

from spacedock_worker.containers.docker.create_body import ContainerLimits, Site, create_body, task_body
from spacedock_worker.containers.spec import ContainerSpec

SPEC = ContainerSpec("count", "spacedock/space-count:1", "sha256:1", env={"MODEL": "small", "A": "space"})
LIMITS = ContainerLimits(memory=2 * 2**30, pids=512, tmp_size=2**29)
SITE = Site("me", "spacedock")


def app() -> dict[str, Any]:
    return create_body(SPEC, LIMITS, SITE)


def task() -> dict[str, Any]:
    return task_body(SPEC, LIMITS, SITE, {"A": "task"})


def test_the_walls_are_those_of_an_app() -> None:
    assert task()["User"] == "1000:1000"
    assert task()["Labels"] == app()["Labels"]
    assert {**task()["HostConfig"], "LogConfig": None} == {**app()["HostConfig"], "LogConfig": None}


def test_stdin_is_open_until_its_one_writer_ends() -> None:
    body = task()
    assert (body["OpenStdin"], body["StdinOnce"], body["AttachStdin"]) == (True, True, True)
    assert (body["AttachStdout"], body["AttachStderr"], body["Tty"]) == (True, True, False)


def test_the_workspace_is_a_volume_without_a_name() -> None:
    assert task()["Volumes"] == {"/workspace": {}}
    assert not {"Binds", "Mounts"} & task()["HostConfig"].keys()


def test_what_it_writes_is_kept_in_no_log() -> None:
    assert task()["HostConfig"]["LogConfig"] == {"Type": "none"}


def test_there_is_no_port() -> None:
    assert "ExposedPorts" not in task()
    assert "PortBindings" not in task()["HostConfig"]


def test_the_task_speaks_before_the_space() -> None:
    env = dict(line.split("=", 1) for line in task()["Env"])
    assert (env["MODEL"], env["A"]) == ("small", "task")


def test_the_images_own_working_folder_stays() -> None:
    assert "WorkingDir" not in task()
