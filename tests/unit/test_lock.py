"""The lock file: what it asks for, what differs, and that it reads well."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, cast

import pytest

from spacedock.cli.commands.spaces.lock import joined, text_of, write_whole
from spacedock.errors import BadRequestError
from spacedock.files import payload_of
from spacedock.result import ErrorKind, Stage
from spacedock_worker.adapters.endpoint import Endpoint, InputSlot, signature
from spacedock_worker.errors import StepError
from spacedock_worker.images.source import Image, SpaceSource
from spacedock_worker.jobs.space_spec import OwnSpace
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.state.image_policy import ImagePolicy
from spacedock_worker.state.image_usage import ImageUsage
from spacedock_worker.state.space_lock import LockedSpace, LockFile, check_endpoints, locked_endpoints

PREDICT = Endpoint("/predict", (InputSlot("prompt", "Prompt", "textbox", 0, True),), 1, ("label", None))
CLEAR = Endpoint("/clear", (), 0, ())


def lock_of(path: Path, **spaces: LockedSpace) -> LockFile:
    rows = {name: space.model_dump(mode="json") for name, space in spaces.items()}
    path.write_text(json.dumps({"version": 1, "spaces": rows}))
    return LockFile(path)


@pytest.fixture
def notes(tmp_path: Path) -> ImageUsage:
    return ImageUsage(tmp_path, lambda: 1000.0)


def test_a_signature_has_names_and_components_in_one_order() -> None:
    lines = ("/clear() -> nothing", "/predict(prompt: textbox) -> label, state")
    assert signature([PREDICT, CLEAR]) == signature([CLEAR, PREDICT]) == lines


def test_an_endpoint_that_changed_is_told() -> None:
    locked = LockedSpace(image="i", digest="d", endpoints=locked_endpoints(signature([PREDICT])))
    check_endpoints("mood", locked, signature([PREDICT]))
    with pytest.raises(StepError, match=r"Gone: /predict.*New: /clear.*spaces lock mood") as caught:
        check_endpoints("mood", locked, signature([CLEAR]))
    assert caught.value.stage is Stage.READY


class Images:
    """Stands in for the images of a host: it has the one that it is told."""

    def __init__(self, reference: str, digest: str) -> None:
        self._image, self.source = Image(reference, digest), SpaceSource("")

    async def get(self, source: SpaceSource, on_progress: object) -> Image:
        self.source = source
        return self._image


async def got(
    notes: ImageUsage, lock: LockFile, space: str, digest: str, repository: bytes | None = None
) -> SpaceSource:
    images = Images(f"{space}:1", digest)
    entry = OwnSpace.of(payload_of(space, repository).ref) if repository else SpaceEntry(id=space)
    policy = ImagePolicy(cast(Any, images), notes, lock)
    await policy.get(entry, repository, Stage.PULL, lambda text: None)
    return images.source


async def test_the_locked_image_runs_and_another_does_not(tmp_path: Path, notes: ImageUsage) -> None:
    lock = lock_of(tmp_path / "l", mood=LockedSpace(image="mood:1", digest="sha256:a", commit="c0ffee"))
    source = await got(notes, lock, "mood", "sha256:a")
    assert (source.revision, source.digest) == ("c0ffee", "sha256:a")
    assert (await got(notes, lock, "other", "sha256:b")).digest is None
    assert (await got(notes, lock, "mood", "sha256:b", b"a repository of the job's own")).digest is None
    with pytest.raises(StepError, match=r"sha256:a.*sha256:b.*spaces lock mood") as caught:
        await got(notes, lock, "mood", "sha256:b")
    assert (caught.value.stage, caught.value.kind) == (Stage.PULL, ErrorKind.START_FAILED)


async def test_an_image_from_a_bundle_is_the_one_that_was_locked(tmp_path: Path, notes: ImageUsage) -> None:
    notes.add_bundled("mood:1", "sha256:pulled", "sha256:id")
    lock = lock_of(tmp_path / "l", mood=LockedSpace(image="mood:1", digest="sha256:pulled"))
    assert (await got(notes, lock, "mood", "sha256:id")).digest == "sha256:id"


def test_a_lock_that_changes_is_read_again_and_one_that_goes_locks_nothing(tmp_path: Path) -> None:
    path = tmp_path / "l"
    lock = LockFile(path)
    assert lock.get("mood") is None
    lock_of(path, mood=LockedSpace(image="mood:1", digest="sha256:a"))
    assert lock.digests() == {"sha256:a"}
    path.unlink()
    assert lock.get("mood") is None


@pytest.mark.parametrize(
    "text", ["no json", "[]", "[" * 10_000, '{"version": 2}', '{"version": 1, "spaces": {"m": {}}}']
)
def test_a_lock_that_cannot_be_read_stops_its_host(tmp_path: Path, text: str) -> None:
    (tmp_path / "l").write_text(text)
    with pytest.raises(StepError, match="cannot be used"):
        LockFile(tmp_path / "l").get("mood")


def test_a_lock_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="it is not there"):
        LockFile(tmp_path / "l", required=True).get("mood")


def test_the_file_has_one_order_whatever_was_locked_first(tmp_path: Path) -> None:
    one = joined({"spaces": {"a": {"digest": "1"}}}, {"version": 1, "spaces": {"b": {"digest": "2"}}})
    two = joined({"spaces": {"b": {"digest": "2"}}}, {"version": 1, "spaces": {"a": {"digest": "1"}}})
    assert text_of(one) == text_of(two)
    write_whole(tmp_path / "spacedock.lock", text_of(one))
    assert os.listdir(tmp_path) == ["spacedock.lock"]
    assert json.loads((tmp_path / "spacedock.lock").read_text()) == one


def test_of_an_earlier_lock_only_the_rows_that_could_not_be_made_anew_stay() -> None:
    before = {"spaces": {"gone": {"digest": "1"}, "failed": {"digest": "2"}, "made": {"digest": "3"}}}
    made = {"version": 1, "spaces": {"made": {"digest": "4"}}}
    rows = joined(before, made, only=["failed", "never-locked"])["spaces"]
    assert rows == {"failed": {"digest": "2"}, "made": {"digest": "4"}}


def test_what_is_no_lock_is_not_overwritten_by_a_part(tmp_path: Path) -> None:
    from spacedock.cli.commands.spaces.lock import read

    (tmp_path / "l").write_text("a letter")
    with pytest.raises(BadRequestError, match="no lock file"):
        read(tmp_path / "l")
