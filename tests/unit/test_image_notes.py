"""What a host remembers of its images."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spacedock_worker.state.image_usage import ImageRecord, ImageUsage


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_notes_outlive_the_process(tmp_path: Path) -> None:
    notes = ImageUsage(tmp_path, Clock())
    await notes.pulled("mood:1", "sha256:a")
    await notes.used("mood:1", "sha256:a", "mood")
    await notes.ran("mood:1", "sha256:a", ("/predict() -> label",))
    again = ImageUsage(tmp_path, Clock())
    assert again.all() == (ImageRecord("mood:1", "sha256:a", "mood", 1000.0, True, ("/predict() -> label",)),)
    assert again.endpoints("sha256:a") == ("/predict() -> label",)
    assert os.listdir(tmp_path) == ["images.json"]


async def test_a_busy_space_does_not_write_at_every_call(tmp_path: Path) -> None:
    clock = Clock()
    notes = ImageUsage(tmp_path, clock)
    await notes.used("mood:1", "sha256:a", "mood")
    before = (tmp_path / "images.json").stat().st_ino
    clock.now += 1
    await notes.used("mood:1", "sha256:a", "mood")
    assert (tmp_path / "images.json").stat().st_ino == before
    assert notes.all()[0].last_used == 1001
    clock.now += 100
    await notes.used("mood:1", "sha256:a", "mood")
    assert ImageUsage(tmp_path, clock).all()[0].last_used == 1101


async def test_a_folder_that_cannot_be_written_to_costs_the_notes_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    notes = ImageUsage(tmp_path / "file", Clock())
    await notes.used("mood:1", "sha256:a", "mood")
    assert notes.all()[0].last_used == 1000


@pytest.mark.parametrize("text", ["", "[]", "no json", '{"a": 1, "b": {"reference": "x"}}'])
def test_notes_that_are_broken_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "images.json").write_text(text)
    assert ImageUsage(tmp_path, Clock()).all() == ()


async def test_a_space_that_came_with_its_job_takes_over_no_note(tmp_path: Path) -> None:
    notes = ImageUsage(tmp_path, lambda: 1000.0)
    await notes.used("mood:1", "sha256:a", "mood")
    await notes.used("mood:1", "sha256:a", "./mood@0123")
    assert [note.space for note in notes.all()] == ["mood"]
    await notes.used("other:1", "sha256:b", "./mood@0123")
    await notes.used("other:1", "sha256:b", "mood")
    assert [note.space for note in notes.all()] == ["mood", "mood"]
