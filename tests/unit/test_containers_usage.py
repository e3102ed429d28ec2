"""How much disk a folder takes, whatever is in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spacedock_worker.containers.docker.disk_usage import folder_bytes
from spacedock_worker.containers.docker.volumes import volume_labels, volume_name

KB = 1024
MB = 2**20


def test_files_count_what_they_take(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(os.urandom(MB))
    assert MB <= (folder_bytes(str(tmp_path)) or 0) <= MB + 32 * KB


def test_empty_files_are_not_free(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / str(number)).touch()
    assert folder_bytes(str(tmp_path)) == 40 * KB


def test_a_hole_takes_nothing(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(2**40)
    assert (folder_bytes(str(tmp_path)) or 0) <= 8 * KB


def test_a_file_of_two_names_counts_once(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(os.urandom(MB))
    os.link(tmp_path / "one", tmp_path / "two")
    assert (folder_bytes(str(tmp_path)) or 0) < 2 * MB


def test_links_lead_nowhere(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "outside").write_bytes(os.urandom(MB))
    (inside / "up").symlink_to(tmp_path)
    (inside / "round").symlink_to(inside)
    assert folder_bytes(str(inside)) == 8 * KB
    (tmp_path / "link").symlink_to(inside)
    assert folder_bytes(str(tmp_path / "link")) is None


def test_enough_is_enough(tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / str(number)).touch()
    assert folder_bytes(str(tmp_path), 40 * KB) == 40 * KB


def test_folders_without_a_bottom_are_too_much(tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["deeper"] * 120)
    folder.mkdir(parents=True)
    assert folder_bytes(str(tmp_path), 10 * MB) == 10 * MB


def test_what_is_not_there_is_not_counted(tmp_path: Path) -> None:
    assert folder_bytes(str(tmp_path / "missing")) is None


@pytest.mark.parametrize("space", ["mood", "User/Mood", "user-mood", "…", "a" * 300])
def test_a_volume_has_a_name_of_its_own(space: str) -> None:
    name = volume_name("me", space)
    assert name.startswith("spacedock-me-cache-")
    assert len(name) < 80
    assert name != volume_name("you", space)
    assert name != volume_name("me", space + "!")


def test_a_volume_says_whose_it_is() -> None:
    assert volume_labels("me", "User/Mood") == {
        "io.spacedock.owner": "me",
        "io.spacedock.space": "User/Mood",
    }
