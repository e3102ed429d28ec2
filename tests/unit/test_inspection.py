"""Whether an app takes a call, judged by what it said when it last ran here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest

from spacedock.files import payload_of
from spacedock.request import JobRequest
from spacedock_worker.adapters.endpoint import Endpoint, InputSlot
from spacedock_worker.containers.pool.view import SpaceStatus
from spacedock_worker.images.images import Images
from spacedock_worker.jobs.inspection import Inspection, fits_of
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.state.image_policy import ImagePolicy
from spacedock_worker.state.image_usage import EndpointStore, ImageUsage

IMAGE_AND_TEXT = (
    InputSlot("image", "Image", "image", 0, True),
    InputSlot("question", "Question", "textbox", 1, True),
)
ASK = Endpoint("/ask", IMAGE_AND_TEXT, 2, ("textbox",))
SIGN = payload_of("sign.png", b"png").ref
SPACE = SpaceEntry(id="asker")


@pytest.fixture
async def policy(tmp_path: Path) -> ImagePolicy:
    notes, endpoints = ImageUsage(tmp_path, lambda: 1.0), EndpointStore(tmp_path)
    await notes.used("asker:latest", "sha256:a", "asker")
    await endpoints.put("sha256:a", (ASK,))
    # No image is got.
    return ImagePolicy(cast(Images, None), notes, endpoints=endpoints)


def misfits_of(entry: SpaceEntry, endpoints: Sequence[Endpoint], requests: Sequence[JobRequest]) -> object:
    return Inspection(entry, None, None, tuple(endpoints), SpaceStatus()).misfits(requests)


def test_a_call_that_its_app_takes_fits(policy: ImagePolicy) -> None:
    assert fits_of(policy, JobRequest(prompt="what is it?", files=(SIGN,)))(SPACE) is None


def test_a_call_that_its_app_does_not_take_is_told_with_the_reason(policy: ImagePolicy) -> None:
    why = fits_of(policy, JobRequest(prompt="what is it?"))(SPACE)
    assert why is not None
    assert why.startswith("its app does not take this call: ")
    assert "image" in why


def test_in_privacy_mode_nothing_of_the_app_is_told(policy: ImagePolicy) -> None:
    assert fits_of(policy, JobRequest(prompt="x", privacy=True))(SPACE) == "its app does not take this call"


@pytest.mark.parametrize(
    "entry",
    [SpaceEntry(id="never-ran"), SpaceEntry(id="asker", adapter="command")],
    ids=["unknown", "command"],
)
def test_what_is_not_known_is_not_held_against_a_space(policy: ImagePolicy, entry: SpaceEntry) -> None:
    assert fits_of(policy, JobRequest(prompt="x"))(entry) is None


def test_each_line_of_a_batch_is_judged_by_its_own_values() -> None:
    slots = (InputSlot("age", "Age", "number", 0, True, least=18.0, most=120.0),)
    requests = [JobRequest(inputs={"age": age}) for age in ("40", "forty", "18", "17", "121")]
    told = misfits_of(SPACE, [Endpoint("/premium", slots, 1, ("textbox",))], requests)
    assert [misfit is None for misfit in told] == [True, False, True, False, False]
    words = ("age takes a number, not 'forty'", "a number from 18 on, not 17", "a number up to 120, not 121")
    assert all(word in str(misfit) for word, misfit in zip(words, filter(None, told), strict=True))


def test_words_alone_for_a_space_of_files_are_no_fault_of_the_line() -> None:
    entry = SpaceEntry(id="asker", input_type="image")
    assert misfits_of(entry, [ASK], [JobRequest(prompt="what is it?")]) == [None]


def test_a_table_that_was_not_read_yet_is_not_taken_for_an_empty_one() -> None:
    slots = (InputSlot("rows", "Rows", "dataframe", 0, True),)
    request = JobRequest(files=(payload_of("rows.csv", b"a,b\n1,2\n").ref,))
    assert misfits_of(SPACE, [Endpoint("/count", slots, 1, ("textbox",))], [request]) == [None]
