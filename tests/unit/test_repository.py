"""A Space's directory on its way to a worker: what is packed, and that it is packed the same each time."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from spacedock.errors import BadRequestError, FileTooLargeError, FileUnreadableError
from spacedock.files import Payload
from spacedock.prepare import pack


@pytest.fixture
def space(tmp_path: Path) -> Path:
    directory = tmp_path / "space"
    (directory / "data").mkdir(parents=True)
    (directory / "app.py").write_text("print('hello')")
    (directory / "data" / "words.txt").write_text("one two")
    return directory


def names(payload: Payload) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(payload.data)) as tar:
        return tar.getnames()


def test_it_is_packed_under_relative_names_in_order(space: Path) -> None:
    assert names(pack(space)) == ["app.py", "data/words.txt"]


def test_it_is_named_after_the_directory(space: Path) -> None:
    assert pack(space).ref.name == "space.tar"


def test_times_and_places_do_not_change_its_address(space: Path, tmp_path: Path) -> None:
    before = pack(space).ref.sha256
    os.utime(space / "app.py", (0, 0))
    moved = space.rename(tmp_path / "moved")
    assert pack(moved).ref.sha256 == before


def test_another_content_is_another_address(space: Path) -> None:
    before = pack(space).ref.sha256
    (space / "app.py").write_text("print('hallo')")
    assert pack(space).ref.sha256 != before


def test_an_executable_stays_one(space: Path) -> None:
    (space / "app.py").chmod(0o700)
    with tarfile.open(fileobj=io.BytesIO(pack(space).data)) as tar:
        assert [tar.getmember(name).mode for name in tar.getnames()] == [0o755, 0o644]


def test_nothing_of_the_sender_is_in_it(space: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(pack(space).data)) as tar:
        owners = {(member.uid, member.gid, member.uname, member.mtime) for member in tar.getmembers()}
    assert owners == {(0, 0, "", 0)}


@pytest.mark.parametrize("folder", [".git", "__pycache__", ".venv", "node_modules", "data/.git"])
def test_folders_that_are_not_the_space_are_left_out(space: Path, folder: str) -> None:
    (space / folder).mkdir()
    (space / folder / "x").write_text("x")
    assert names(pack(space)) == ["app.py", "data/words.txt"]


def test_the_git_file_of_a_worktree_is_left_out(space: Path) -> None:
    (space / ".git").write_text("gitdir: /somewhere/else")
    assert names(pack(space)) == ["app.py", "data/words.txt"]


@pytest.mark.parametrize("target", ["app.py", "data", "nowhere"])
def test_links_are_sent_as_links(space: Path, target: str) -> None:
    (space / "link").symlink_to(target)
    with tarfile.open(fileobj=io.BytesIO(pack(space).data)) as tar:
        assert {member.name: member.linkname for member in tar if member.issym()} == {"link": target}


@pytest.mark.parametrize("target", ["/etc/passwd", "/", "../x", "data/../../x"])
def test_a_link_that_leads_out_is_refused_by_its_name(space: Path, target: str) -> None:
    (space / "link").symlink_to(target)
    with pytest.raises(BadRequestError, match="link is a link that leads out"):
        pack(space)


def test_pipes_are_left_out_and_do_not_block(space: Path) -> None:
    os.mkfifo(space / "pipe")
    assert names(pack(space)) == ["app.py", "data/words.txt"]


def test_a_link_to_the_space_itself_is_followed(space: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(space)
    assert pack(tmp_path / "link") == pack(space)


def test_strange_file_names_are_packed(space: Path) -> None:
    strange = ["-rf", "a b", "ü" * 80]
    for name in strange:
        (space / name).touch()
    assert set(strange) < set(names(pack(space)))


def test_a_directory_name_that_cannot_travel_is_changed(space: Path, tmp_path: Path) -> None:
    assert pack(space.rename(tmp_path / "a\\b")).ref.name == "a_b.tar"


def test_a_directory_without_an_app_is_no_space(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(BadRequestError, match=r"is not a Space: it has no README\.md, app\.py or Dockerfile"):
        pack(tmp_path)


def test_a_file_is_no_directory(space: Path) -> None:
    with pytest.raises(FileUnreadableError, match="is not a directory"):
        pack(space / "app.py")


def test_a_space_over_the_limit_is_refused(space: Path) -> None:
    with pytest.raises(FileTooLargeError, match=r"the Space .*space: "):
        pack(space, max_bytes=16)
