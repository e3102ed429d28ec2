"""Files of the client's machine: their address, their limits, and what cannot be read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from spacedock.errors import FileTooLargeError, FileUnreadableError
from spacedock.files import (
    MAX_FILE_BYTES,
    MAX_JOB_BYTES,
    FileRef,
    check_file,
    check_sizes,
    media_type_of,
    payload_of,
    read_payload,
    travelling_name,
)

DIGEST = "0" * 64


def unreadable(path: Path) -> str:
    with pytest.raises(FileUnreadableError) as caught:
        read_payload(path)
    return str(caught.value)


def test_a_file_is_addressed_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"hello")
    ref = read_payload(tmp_path / "a.txt").ref
    assert ref == FileRef(
        name="a.txt", sha256=hashlib.sha256(b"hello").hexdigest(), size=5, media_type="text/plain"
    )


def test_two_names_of_one_content_have_one_address() -> None:
    assert payload_of("a", b"x").ref.sha256 == payload_of("b", b"x").ref.sha256


def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert read_payload(tmp_path / "empty").ref.size == 0


def test_a_file_at_the_limit_is_taken(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_payload(tmp_path / "a", max_bytes=5).data == b"12345"


def test_a_file_over_the_limit_is_told_with_its_size_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        os.truncate(file.fileno(), 2**40)
    with pytest.raises(FileTooLargeError, match=r"huge: 1048576\.0 MB is over the limit of 64 MB"):
        read_payload(tmp_path / "huge")


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    assert "is a directory" in unreadable(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path}/none: No such file" in unreadable(tmp_path / "none")


def test_a_device_without_end_is_refused() -> None:
    assert "is not a regular file" in unreadable(Path("/dev/zero"))


def test_a_pipe_is_refused_and_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "is not a regular file" in unreadable(tmp_path / "pipe")


def test_links_that_lead_in_a_circle_are_told(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert "symbolic links" in unreadable(tmp_path / "loop")


def test_a_path_with_a_null_byte_is_told() -> None:
    assert "is no path" in unreadable(Path("a\0b"))


@pytest.mark.parametrize("name", [b"a\\b.txt", b"\xff.txt", b"..\\..\\x"])
def test_a_name_that_cannot_travel_is_changed_and_the_bytes_are_kept(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(b"kept")
    payload = read_payload(path)
    assert (payload.data, payload.ref.name) == (b"kept", travelling_name(path.name))
    assert payload.ref.name.isascii()


@pytest.mark.parametrize("name", ["", "a/b", "/etc/passwd", "a\\b", "a\0", "x" * 256])
def test_a_reference_names_no_path(name: str) -> None:
    with pytest.raises(ValidationError):
        FileRef(name=name, sha256=DIGEST, size=0)


@pytest.mark.parametrize("digest", ["", "0" * 63, "0" * 65, "G" * 64, "0" * 64 + "\n", "../" + "0" * 61])
def test_a_reference_has_a_whole_digest(digest: str) -> None:
    with pytest.raises(ValidationError):
        FileRef(name="a", sha256=digest, size=0)


def test_all_files_together_have_a_limit() -> None:
    files = [payload_of(str(n), b"123") for n in range(4)]
    with pytest.raises(FileTooLargeError, match="all files of the job"):
        check_sizes(files, max_file=3, max_job=11)


def test_files_that_just_fit_are_fine() -> None:
    check_sizes([payload_of(str(n), b"123") for n in range(4)], max_file=3, max_job=12)


def test_the_limits_are_those_of_the_contract() -> None:
    assert (MAX_FILE_BYTES, MAX_JOB_BYTES) == (64 * 2**20, 256 * 2**20)


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("a.PNG", "image/png"),
        ("a.webp", "image/webp"),
        ("a.wav", "audio/wav"),
        ("a.flac", "audio/flac"),
        ("a", "application/octet-stream"),
        (".png", "application/octet-stream"),
        ("a.no-such-type", "application/octet-stream"),
    ],
)
def test_the_media_type_is_guessed_from_the_name(name: str, media_type: str) -> None:
    assert media_type_of(name) == media_type


def _append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _cut(path: Path) -> None:
    os.truncate(path, 1)


def _make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_append, "changed while it was read"),
        (_cut, "changed while it was read"),
        (_make_pipe, "changed while it was read"),
        (Path.unlink, "No such file"),
    ],
)
def test_a_file_that_changes_while_it_is_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None], words: str
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"hello")

    def check_and_change(path: Path, max_bytes: int) -> os.stat_result:
        status = check_file(path, max_bytes)
        change(path)
        return status

    monkeypatch.setattr("spacedock.files.check_file", check_and_change)
    assert words in unreadable(path)
