"""The state machine: what docs/states.md shows and explains is what the table says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from spacedock.states import TRANSITIONS, JobState

PAGE = Path(__file__).parents[2] / "docs/states.md"
DRAWING = PAGE.parent / "drawings/states.svg"
ARROW = re.compile(r'data-from="(\S+)" data-to="(\S+)"')
OUTSIDE = "[*]"


def drawn() -> set[tuple[str, str]]:
    return set(ARROW.findall(DRAWING.read_text(encoding="utf-8")))


def test_every_transition_is_drawn_and_no_other() -> None:
    table = {(start.value, end.value) for start, ends in TRANSITIONS.items() for end in ends}
    assert {arrow for arrow in drawn() if OUTSIDE not in arrow} == table


def test_every_state_is_in_the_table() -> None:
    assert set(TRANSITIONS) == set(JobState)


def test_a_job_begins_queued() -> None:
    assert {end for start, end in drawn() if start == OUTSIDE} == {JobState.QUEUED}


def test_the_drawing_ends_where_a_state_is_terminal() -> None:
    assert {start for start, end in drawn() if end == OUTSIDE} == {s for s in JobState if s.terminal}


@pytest.mark.parametrize("state", JobState)
def test_every_state_is_explained(state: JobState) -> None:
    assert f"| `{state}` |" in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("state", [state for state in JobState if not state.terminal])
def test_from_every_open_state_an_end_can_be_reached(state: JobState) -> None:
    seen, new = set(), {state}
    while new:
        seen |= new
        new = {end for start in new for end in TRANSITIONS[start]} - seen
    assert any(reached.terminal for reached in seen)


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        TRANSITIONS[JobState.DEAD] = frozenset()  # type: ignore[index]
