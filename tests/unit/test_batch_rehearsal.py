"""Which lines of a batch share a plan, and how long all are told to take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest
from tests.unit.test_cli_planning import SPACE

from spacedock import Client, JobRequest
from spacedock.batching.reading import Unsent
from spacedock.batching.results.line_index import LineName
from spacedock.cli.output.plan import Rehearsal, kind_of
from spacedock.files import Payload
from spacedock.replies.host import PlanReply
from spacedock.testing import InMemoryClient


def test_lines_that_differ_only_in_their_words_share_a_plan() -> None:
    first = JobRequest(prompt="a", space="mood")
    others = [
        JobRequest(prompt="b", space="mood", inputs={"steps": 1}),
        JobRequest(prompt="c", space="mood"),
        JobRequest(prompt="d", space="ocr"),
    ]
    assert [kind_of(other) == kind_of(first) for other in others] == [False, True, False]


class Planned(InMemoryClient):
    """A client whose Space takes so many seconds, if that was measured; its host has four containers."""

    def __init__(self, seconds: float | None) -> None:
        super().__init__()
        self.seconds = seconds

    async def plan(
        self, request: JobRequest, payloads: Sequence[Payload] = (), *, alike: Sequence[JobRequest] = ()
    ) -> PlanReply:
        step: Any = SPACE | {
            "expected": None if self.seconds is None else {"start": 1.0, "call": self.seconds}
        }
        return PlanReply(misfits=[], route=None, steps=[step], warnings=[])


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(6.0, ", in about 1 min 0 s on 1 host with 4 containers"), (None, "; no time is known for them")],
)
async def test_the_time_for_all_lines_is_told_as_far_as_it_was_measured(
    seconds: float | None, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rehearsal = Rehearsal()
    for number in range(1, 41):
        request = JobRequest(prompt=f"line {number}", space="mood")
        rehearsal.add(Unsent(LineName(number, f"{number}", (), None, "b"), request, (), None), [])
    await rehearsal.tell(cast(Client, Planned(seconds)), json=False)
    said = capsys.readouterr()
    assert said.out.startswith("==> lines 1-40 <==\n")
    assert f"nothing was run: without --dry-run 40 jobs would be{told}" in said.err
