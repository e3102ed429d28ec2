"""A bundle is whole, or it is refused; under its name there is never a part of one."""

from __future__ import annotations

import asyncio
import io
import os
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacedock.errors import SpacedockError
from spacedock_worker.bundles.archive import (
    MANIFEST as MANIFEST_NAME,
)
from spacedock_worker.bundles.archive import (
    MANIFEST_DIGEST,
    VERSION,
    BrokenBundleError,
    BundledImage,
    BundledSpace,
    BundleManifest,
    BundleReader,
    BundleWriter,
    opened,
)

ID = "sha256:" + "a" * 64
IMAGE = BundledImage(id=ID, reference="spacedock/space-mood:1", digest=ID)
MOOD = BundledSpace(name="mood", entry={"category": "text"}, image=ID, cache="caches/1.tar")
MANIFEST = BundleManifest(version=VERSION, images=(IMAGE,), spaces=(MOOD,))


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 7):
        yield data[start : start + 7]


def unheard(count: int) -> None:
    pass


async def written(path: Path, manifest: BundleManifest = MANIFEST, images: bytes = b"i" * 700) -> None:
    with BundleWriter(path) as writer:
        await writer.add("images.tar", pieces(images), unheard)
        await writer.add("caches/1.tar", pieces(b"weights"), unheard)
        writer.finish(manifest)


def read(path: Path) -> BundleReader:
    return opened(path, unheard)


async def test_what_was_bundled_comes_out(tmp_path: Path) -> None:
    await written(tmp_path / "b.tar")
    bundle = read(tmp_path / "b.tar")
    assert b"".join(bundle.chunks("images.tar")) == b"i" * 700
    assert b"".join(bundle.chunks("caches/1.tar")) == b"weights"
    assert bundle.manifest.spaces == (MOOD,)
    assert os.listdir(tmp_path) == ["b.tar"]
    assert (tmp_path / "b.tar").stat().st_mode & 0o777 == 0o600


async def test_tar_itself_reads_it(tmp_path: Path) -> None:
    await written(tmp_path / "b.tar")
    with tarfile.open(tmp_path / "b.tar") as archive:
        assert archive.getnames() == ["images.tar", "caches/1.tar", MANIFEST_NAME, MANIFEST_DIGEST]


async def test_a_bundle_that_failed_leaves_the_earlier_one_and_no_part(tmp_path: Path) -> None:
    await written(tmp_path / "b.tar")
    before = (tmp_path / "b.tar").read_bytes()

    async def broken() -> AsyncIterator[bytes]:
        yield b"first"
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk"), BundleWriter(tmp_path / "b.tar") as writer:
        await writer.add("images.tar", broken(), unheard)
    assert (tmp_path / "b.tar").read_bytes() == before
    assert os.listdir(tmp_path) == ["b.tar"]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundle") / "b.tar"


@pytest.fixture(scope="module")
def whole(path: Path) -> bytes:
    """What is in a bundle that nobody has changed."""
    asyncio.run(written(path))
    return path.read_bytes()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_bundle_that_was_cut_or_changed_is_refused(path: Path, whole: bytes, data: st.DataObject) -> None:
    # Beyond the manifest's digest there is only tar's padding.
    end = whole.rindex(MANIFEST_NAME.encode()) + len(MANIFEST_NAME) + 1
    if data.draw(st.booleans(), "cut"):
        path.write_bytes(whole[: data.draw(st.integers(0, end - 1))])
    else:
        # What tar's headers say besides names, sizes and checksums (owners, times) carries nothing of ours.
        manifest = whole.index(b'{\n "version"')
        members = [(whole.index(word), 6) for word in (b"iii", b"weights")]
        members += [(manifest, whole.rindex(b"}") - manifest), (end - 80, 79)]
        start, length = data.draw(st.sampled_from(members))
        place = start + data.draw(st.integers(0, length))
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(BrokenBundleError, match="Nothing was changed"):
        read(path)


@pytest.mark.parametrize("name", ["../images.tar", "/images.tar", "caches/../x.tar", "caches/x.tar", "other"])
async def test_names_that_are_not_ours_are_refused(tmp_path: Path, name: str) -> None:
    await written(tmp_path / "b.tar")
    with tarfile.open(tmp_path / "b.tar", "a") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = 1
        archive.addfile(entry, io.BytesIO(b"x"))
    with pytest.raises(BrokenBundleError, match="member"):
        read(tmp_path / "b.tar")


async def test_links_are_refused(tmp_path: Path) -> None:
    await written(tmp_path / "b.tar")
    with tarfile.open(tmp_path / "b.tar", "a") as archive:
        entry = tarfile.TarInfo("caches/2.tar")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(entry)
    with pytest.raises(BrokenBundleError, match="member"):
        read(tmp_path / "b.tar")


async def test_a_member_that_is_missing_is_told(tmp_path: Path) -> None:
    lacking = MANIFEST.model_copy(update={"spaces": (MOOD.model_copy(update={"cache": "caches/9.tar"}),)})
    await written(tmp_path / "b.tar", lacking)
    with pytest.raises(BrokenBundleError, match="members"):
        read(tmp_path / "b.tar")


async def test_a_bundle_without_a_digest_of_its_manifest_is_refused(tmp_path: Path) -> None:
    await written(tmp_path / "b.tar")
    with tarfile.open(tmp_path / "b.tar") as archive, tarfile.open(tmp_path / "old.tar", "w") as old:
        for member in archive.getmembers()[:-1]:
            old.addfile(member, archive.extractfile(member))
    with pytest.raises(BrokenBundleError, match="an earlier version made it"):
        read(tmp_path / "old.tar")


async def test_another_version_is_refused(tmp_path: Path) -> None:
    await written(tmp_path / "b.tar", MANIFEST.model_copy(update={"version": 99}))
    with pytest.raises(BrokenBundleError, match="version 99"):
        read(tmp_path / "b.tar")


@pytest.mark.parametrize(
    "entry", [{"repository": "/etc"}, {"unknown": 1}, {"port": "many"}], ids=["a path", "a field", "a value"]
)
async def test_an_entry_that_no_registry_takes_is_refused(tmp_path: Path, entry: dict[str, object]) -> None:
    bad = MANIFEST.model_copy(update={"spaces": (MOOD.model_copy(update={"entry": entry}),)})
    await written(tmp_path / "b.tar", bad)
    with pytest.raises(BrokenBundleError, match="manifest is wrong"):
        read(tmp_path / "b.tar")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SpacedockError, match="cannot be read"):
        read(tmp_path / "none.tar")
