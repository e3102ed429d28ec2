"""Tars, piece by piece."""

from __future__ import annotations

import asyncio
import io
import tarfile

import pytest

from spacedock_worker.containers.docker.archive import BrokenTarError, Unpacking, inner_path, pack


def source(data: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return reader


def tar_of(*entries: tarfile.TarInfo, format: int = tarfile.PAX_FORMAT) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=format) as tar:
        for entry in entries:
            tar.addfile(entry, io.BytesIO(b"x" * entry.size) if entry.isreg() else None)
    return packed.getvalue()


def entry(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.size = kind, size
    return made


async def packed(files: dict[str, bytes], folders: tuple[str, ...] = ()) -> bytes:
    return b"".join([piece async for piece in pack(files, folders)])


async def test_what_is_packed_can_be_read_by_tar() -> None:
    data = await packed({"input/" + "ä" * 120: b"x" * 700, "empty": b""}, ("input",))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert tar.getnames() == ["input", "input/" + "ä" * 120, "empty"]
        assert tar.extractfile("input/" + "ä" * 120).read() == b"x" * 700
        assert {(member.uid, member.gid) for member in tar} == {(1000, 1000)}


async def test_what_is_packed_can_be_unpacked() -> None:
    unpacking = Unpacking(source(await packed({"a": b"one", "b": b"two"})))
    assert (await unpacking.next()).name == "a"
    assert await unpacking.read(3) == b"one"
    assert (await unpacking.next()).name == "b"
    assert await unpacking.read(1) == b"t"
    assert await unpacking.next() is None


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
async def test_long_names_and_entries_that_are_skipped(format: int) -> None:
    long = "output/" + "folder/" * 40 + "a.txt"
    data = tar_of(entry("output/big", size=200_000), entry(long, size=5), format=format)
    unpacking = Unpacking(source(data))
    assert (await unpacking.next()).size == 200_000
    assert (await unpacking.next()).name == long
    assert await unpacking.read(5) == b"xxxxx"
    assert await unpacking.next() is None


async def test_the_size_of_a_file_beyond_8_gb_is_known_from_its_header() -> None:
    header = entry("huge", size=10 * 2**30).tobuf(tarfile.PAX_FORMAT)
    assert (await Unpacking(source(header)).next()).size == 10 * 2**30


@pytest.mark.parametrize("data", [b"", b"short", tar_of(entry("a", size=900))[:1000]])
async def test_a_tar_that_breaks_off_says_so(data: bytes) -> None:
    unpacking = Unpacking(source(data))

    async def read_all() -> None:
        while await unpacking.next():
            pass

    with pytest.raises(EOFError):
        await read_all()


@pytest.mark.parametrize(
    "data",
    [
        b"x" * 512,
        b"\xff" * 1024,
        entry("x", tarfile.XHDTYPE, 2**40).tobuf(tarfile.GNU_FORMAT) + bytes(512),
        (entry("x", tarfile.XHDTYPE).tobuf(tarfile.GNU_FORMAT)) * 1000,
    ],
    ids=["text", "noise", "endless header", "header upon header"],
)
async def test_what_is_no_tar_is_refused(data: bytes) -> None:
    with pytest.raises(BrokenTarError):
        await Unpacking(source(data)).next()


@pytest.mark.parametrize(
    ("name", "inner"),
    [
        ("output/a", "a"),
        ("output/a/b", "a/b"),
        ("output", None),
        ("output/../a", None),
        ("/etc/passwd", None),
        ("../a", None),
    ],
)
def test_only_paths_within_the_folder_are_taken(name: str, inner: str | None) -> None:
    assert inner_path(name) == inner
