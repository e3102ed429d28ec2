"""Whether an app takes a call, judged by what it said when it last ran here."""

from __future__ import annotations

from pathlib import Path

import pytest

from spacedock.files import payload_of
from spacedock.request import JobRequest
from spacedock_worker.adapters.endpoint import Endpoint, Slot
from spacedock_worker.fitting import Fitting
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.upkeep.endpoint_notes import EndpointNotes
from spacedock_worker.upkeep.notes import ImageNotes

IMAGE_AND_TEXT = (Slot("image", "Image", "image", 0, True), Slot("question", "Question", "textbox", 1, True))
ASK = Endpoint("/ask", IMAGE_AND_TEXT, 2, ("textbox",))
SIGN = payload_of("sign.png", b"png").ref
SPACE = SpaceEntry(id="asker")


@pytest.fixture
async def fitting(tmp_path: Path) -> Fitting:
    notes, endpoints = ImageNotes(tmp_path, lambda: 1.0), EndpointNotes(tmp_path)
    await notes.used("asker:latest", "sha256:a", "asker")
    await endpoints.put("sha256:a", (ASK,))
    return Fitting(notes, endpoints)


def test_a_call_that_its_app_takes_fits(fitting: Fitting) -> None:
    assert fitting.of(JobRequest(prompt="what is it?", files=(SIGN,)))(SPACE) is None


def test_a_call_that_its_app_does_not_take_is_told_with_the_reason(fitting: Fitting) -> None:
    why = fitting.of(JobRequest(prompt="what is it?"))(SPACE)
    assert why is not None
    assert why.startswith("its app does not take this call: ")
    assert "image" in why


def test_in_privacy_mode_nothing_of_the_app_is_told(fitting: Fitting) -> None:
    assert fitting.of(JobRequest(prompt="x", privacy=True))(SPACE) == "its app does not take this call"


@pytest.mark.parametrize(
    "entry",
    [SpaceEntry(id="never-ran"), SpaceEntry(id="asker", adapter="command")],
    ids=["unknown", "command"],
)
def test_what_is_not_known_is_not_held_against_a_space(fitting: Fitting, entry: SpaceEntry) -> None:
    assert fitting.of(JobRequest(prompt="x"))(entry) is None
