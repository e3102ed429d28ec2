"""Repositories from directories and from tars that strangers send."""

from __future__ import annotations

import gzip
import hashlib
import os
import tarfile
import time
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacedock.errors import BadRequestError
from spacedock.prepare import pack as packed
from spacedock.result import ErrorKind
from spacedock_worker.errors import StepError
from spacedock_worker.images.build.context import pack
from spacedock_worker.images.build.repository import MAX_ENTRIES, Repository, read_repository


def tar(*members: tuple[str, bytes], **fields: object) -> bytes:
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            for field, value in fields.items():
                setattr(entry, field, value)
            archive.addfile(entry, BytesIO(content))
    return packed.getvalue()


def digest(repository: Repository, prefix: str = "") -> str:
    context = pack({}, repository, prefix)
    context.tar.close()
    return context.digest


def refused(data: bytes) -> str:
    with pytest.raises(StepError) as caught:
        read_repository(data)
    assert caught.value.kind is ErrorKind.BAD_INPUT
    return str(caught.value)


def test_a_tar_and_a_directory_hold_the_same_files(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("app")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").write_text("a")
    sent = read_repository(tar(("./data/a.txt", b"a"), ("app.py", b"app")))
    local = read_repository(tmp_path)
    assert [f.path for f in sent.files] == [f.path for f in local.files] == ["app.py", "data/a.txt"]
    assert digest(sent) == digest(local) != digest(local, "app/")
    assert sent.text("data/a.txt") == "a"


def test_a_tar_is_taken_gzipped_and_from_a_file(tmp_path: Path) -> None:
    data = gzip.compress(tar(("app.py", b"app")))
    (tmp_path / "space.tar.gz").write_bytes(data)
    assert read_repository(data).text("app.py") == "app"
    assert read_repository(tmp_path / "space.tar.gz").text("app.py") == "app"


@pytest.mark.parametrize("name", ["/etc/passwd", "../app.py", "a/../../b", "a\\..\\b"])
def test_a_path_that_leads_out_is_refused(name: str) -> None:
    assert "leads out" in refused(tar((name, b"x")))


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_hard_links_and_devices_are_refused(kind: bytes) -> None:
    assert "hard link or a device" in refused(tar(("x", b""), type=kind, linkname="/etc/passwd"))


def test_too_many_entries_are_refused() -> None:
    assert "10,000" in refused(tar(*((f"f{i}", b"") for i in range(MAX_ENTRIES + 1))))


def test_more_than_the_limit_unpacked_is_refused_by_its_header_alone() -> None:
    entry = tarfile.TarInfo("big")
    entry.size = 600 * 2**20
    assert "512 MB" in refused(entry.tobuf() + b"\0" * 1024)


def test_a_gzip_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spacedock_worker.images.build.repository.MAX_BYTES", 2**20)
    assert "unpacked" in refused(gzip.compress(b"\0" * 50 * 2**20))


def test_what_a_client_sends_packed_is_no_larger_unpacked_than_it_may_send(tmp_path: Path) -> None:
    bomb = gzip.compress(tar(("zeros", bytes(160 * 2**20))), compresslevel=1)
    assert "over 128 MB unpacked" in refused(bomb)
    (tmp_path / "own.tar").write_bytes(bomb)
    assert len(read_repository(tmp_path / "own.tar").files) == 1


def test_a_tar_that_ends_too_early_is_refused() -> None:
    refused(tar(("app.py", b"x" * 4096))[:2048])


@given(st.binary(max_size=2048))
def test_any_bytes_are_taken_or_refused(data: bytes) -> None:
    with suppress(StepError):
        read_repository(data)


def test_git_and_caches_are_left_out(tmp_path: Path) -> None:
    for name in (".git/config", "__pycache__/a.pyc", ".cache/huggingface/x", "app.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert [file.path for file in read_repository(tmp_path).files] == ["app.py"]
    assert [file.path for file in read_repository(tar((".git/config", b""), ("app.py", b""))).files] == [
        "app.py"
    ]


def test_a_link_out_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "space").mkdir()
    (tmp_path / "space" / "a").symlink_to(tmp_path / "secret")
    with pytest.raises(StepError, match="leads out"):
        read_repository(tmp_path / "space")


def linked(name: str, to: str, *files: str) -> bytes:
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = tarfile.SYMTYPE, to
        archive.addfile(entry)
        for file in files:
            archive.addfile(tarfile.TarInfo(file))
    return packed.getvalue()


def test_links_in_the_directory_are_kept_as_links(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "app.py").write_text("app")
    (tmp_path / "app.py").symlink_to("src/app.py")
    (tmp_path / "lib").symlink_to("src")
    repository = read_repository(tmp_path)
    assert repository.text("app.py") == repository.text("lib/app.py") == "app"
    assert read_repository(packed(tmp_path).data).text("lib/app.py") == "app"
    context = pack({}, repository, "app/")
    with context.tar, tarfile.open(fileobj=context.tar) as archive:
        links = {member.name: member.linkname for member in archive if member.issym()}
    assert links == {"app/app.py": "src/app.py", "app/lib": "src"}


@pytest.mark.parametrize("to", ["/etc/passwd", "../x", "a/../../x"])
def test_a_link_in_a_tar_that_leads_out_is_refused(to: str) -> None:
    assert "app.py is a link that leads out" in refused(linked("app.py", to))


def test_no_file_is_written_through_a_link() -> None:
    assert "below what is no directory" in refused(linked("d", ".", "d/Dockerfile"))


def test_links_in_a_circle_lead_nowhere() -> None:
    assert "a" not in read_repository(linked("a", "a"))


def test_a_client_names_the_link_that_it_cannot_send(tmp_path: Path) -> None:
    (tmp_path / "app.py").symlink_to("/etc/hostname")
    (tmp_path / "README.md").write_text("")
    with pytest.raises(BadRequestError, match=r"app\.py is a link that leads out"):
        packed(tmp_path)


@pytest.mark.parametrize("name", ["a\nb", "a\x1bb", "a\\b", "a\udcffb"])
def test_a_client_names_the_file_whose_name_cannot_be_sent(tmp_path: Path, name: str) -> None:
    (tmp_path / "app.py").write_text("")
    (tmp_path / name).write_text("")
    with pytest.raises(BadRequestError, match="rename it"):
        packed(tmp_path)
    with pytest.raises(StepError, match=r"control character|leads out"):
        read_repository(tmp_path)


def test_files_have_a_time_that_a_zip_file_can_hold(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("")
    context = pack({"Dockerfile": b""}, read_repository(tmp_path), "app/")
    with context.tar, tarfile.open(fileobj=context.tar) as archive:
        assert {time.gmtime(member.mtime).tm_year for member in archive} == {2000}


def test_a_directory_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="no directory") as caught:
        read_repository(tmp_path / "none")
    assert caught.value.kind is ErrorKind.REPOSITORY_UNAVAILABLE


def test_the_fingerprint_follows_the_content_and_the_digest_only_the_content(tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text("one")
    first = read_repository(tmp_path)
    named = digest(first)
    assert read_repository(tmp_path).fingerprint == first.fingerprint
    os.utime(app, (1, 1))
    touched = read_repository(tmp_path)
    assert touched.fingerprint != first.fingerprint
    assert digest(touched) == named
    app.write_text("two")
    assert digest(read_repository(tmp_path)) != named


@pytest.mark.parametrize("name", ["app\n.py", "app\x1b.py", "a\x7f"])
def test_a_path_with_a_control_character_is_refused(name: str) -> None:
    assert "control character" in refused(tar((name, b"x")))


def test_a_stored_tar_that_is_not_what_its_name_says_is_refused(tmp_path: Path) -> None:
    data = tar(("app.py", b"app"))
    stored = tmp_path / f"{hashlib.sha256(data).hexdigest()}.tar"
    stored.write_bytes(data)
    assert [file.path for file in read_repository(stored).files] == ["app.py"]
    stored.write_bytes(tar(("app.py", b"evil")))
    with pytest.raises(StepError, match="does not match its digest"):
        read_repository(stored)
