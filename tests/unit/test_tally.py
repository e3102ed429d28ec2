"""What the events of a queue come to, for the page."""

from __future__ import annotations

from spacedock._wire.view.tally import MINUTES, QueueTally
from spacedock.events import Event
from spacedock.result import Stage
from spacedock.states import JobState


def told(job_id: str, at: float, state: JobState | None = None, **more: object) -> Event:
    return Event.model_validate(
        {"job_id": job_id, "at": at, "state": state, "stage": None if state else Stage.PLAN, **more}
    )


def folded(*events: Event) -> QueueTally:
    tally = QueueTally()
    for number, event in enumerate(events, 1):
        tally.fold(event.model_copy(update={"id": number}))
    return tally


def test_a_job_is_timed_from_its_first_step_to_its_end() -> None:
    tally = folded(told("a", 60.0), told("a", 61.0, stage=Stage.CALL), told("a", 64.0, JobState.SUCCEEDED))
    (row,) = tally.rows()
    assert (row.at, row.succeeded, row.p50, row.p95) == (60.0, 1, 4.0, 4.0)
    assert (tally.steps, tally.begun, [*tally.ended], tally.last) == ({}, {}, ["a"], 3)


def test_minutes_count_what_was_degraded_and_what_failed() -> None:
    tally = folded(
        told("a", 0.0, JobState.SUCCEEDED, message="succeeded (degraded)"),
        told("b", 1.0, JobState.FAILED),
        told("c", 2.0, JobState.DEAD),
        told("d", 3.0, JobState.CANCELLED),
        told("e", 65.0, JobState.SUCCEEDED),
    )
    first, second = tally.rows()
    assert (first.succeeded, first.degraded, first.failed, first.p50) == (1, 1, 2, None)
    assert (second.at, second.succeeded) == (60.0, 1)


def test_what_runs_has_its_last_step() -> None:
    tally = folded(told("a", 1.0, batch="b1"), told("a", 2.0, stage=Stage.CALL, batch="b1"))
    assert (tally.steps["a"].stage, tally.begun["a"], tally.batches) == (Stage.CALL, 1.0, {"b1": 2.0})


def test_only_the_newest_is_kept() -> None:
    tally = folded(*(told(str(n), 60.0 * n, JobState.SUCCEEDED) for n in range(1000)))
    rows = list(tally.rows())
    assert (len(rows), rows[-1].at) == (MINUTES, 60.0 * 999)
    assert len(tally.ended) < 1000
    assert [*tally.ended][-1] == "999"


def test_events_of_no_job_only_move_the_number() -> None:
    tally = folded(Event(job_id="", missed=7))
    assert (tally.last, tally.seen) == (1, {})
