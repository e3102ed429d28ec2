"""Which images run with a read-only root, and how those are found that cannot."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.machine.resources import HostResources, Roots, tells_refused_write
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.containers.spec import ContainerSpec


@pytest.mark.parametrize(
    "said",
    [
        f"OSError: [Errno 30] {os.strerror(errno.EROFS)}: '/home/user/app/flagged'",
        "Error: EROFS: read-only file system, mkdir '/app/.next'",
        "open /data/db: read-only file system",
        'Os { code: 30, kind: ReadOnlyFilesystem, message: "Read-only file system" }',
        "failed: Read-only file system (os error 30)",
        "java.nio.file.FileSystemException: /app/x: Read-only file system",
        "java.nio.file.ReadOnlyFileSystemException",
        "System.IO.IOException: Read-only file system : '/app/x'",
        "mkdir: cannot create directory '/x': Read-only file system",
        "sqlite3.OperationalError: attempt to write a readonly database",
        "the cache directory /home/user/.foo is not a writable directory",
        'nginx: [emerg] mkdir() "/var/cache/nginx" failed (30: Read-only file system)',
    ],
)
def test_a_refused_write_is_known_in_every_language(said: str) -> None:
    assert tells_refused_write(f"starting\n{said}\nbye")


@pytest.mark.parametrize(
    "said",
    ["", "PermissionError: [Errno 13] Permission denied: '/x'", "read only mode", "Errno 300", "EROFSX"],
)
def test_other_failures_are_none(said: str) -> None:
    assert not tells_refused_write(said)


def test_every_root_is_read_only_until_one_was_seen_to_need_it(tmp_path: Path) -> None:
    roots = Roots(tmp_path / "state")
    assert roots.read_only("sha256:1")
    roots.remember_writable("sha256:1")
    assert not roots.read_only("sha256:1")
    assert roots.read_only("sha256:2")


def test_the_next_life_remembers(tmp_path: Path) -> None:
    Roots(tmp_path).remember_writable("sha256:1")
    assert not Roots(tmp_path).read_only("sha256:1")
    assert [path.name for path in tmp_path.iterdir()] == ["writable-roots.json"]


def test_the_memory_is_bounded(tmp_path: Path) -> None:
    roots = Roots(tmp_path)
    for number in range(1030):
        roots.remember_writable(f"sha256:{number}")
    again = Roots(tmp_path)
    assert again.read_only("sha256:5")
    assert not again.read_only("sha256:6")
    assert not again.read_only("sha256:1029")


@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"version": 2, "digests": ["a"]}', '{"version": 1}', '{"version": 1, "digests": 3}'],
)
def test_a_broken_file_is_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "writable-roots.json").write_text(content)
    roots = Roots(tmp_path)
    assert roots.read_only("a")
    roots.remember_writable("a")
    assert not Roots(tmp_path).read_only("a")


def test_without_a_folder_it_is_remembered_meanwhile() -> None:
    roots = Roots(None)
    roots.remember_writable("a")
    assert not roots.read_only("a")


def test_a_folder_that_cannot_be_written_costs_no_more_than_that(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    roots = Roots(tmp_path / "file")
    roots.remember_writable("a")
    assert not roots.read_only("a")


def test_a_space_that_shares_an_image_opens_its_own_root_alone() -> None:
    resources = HostResources(Engine(), ContainerSettings(instance_id="roots"), set())
    eve = ContainerSpec("eve", "mood:1", "sha256:1", read_only=True)
    resources.roots.remember_writable(eve.app)
    assert not resources.as_started(eve).read_only
    assert resources.as_started(replace(eve, space="mood")).read_only
