"""Carrying a batch out, with a client in memory: what is in flight, what changes, what comes late."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from spacedock.batching import keeping, reading, sending
from spacedock.batching.batch_options import Again, BatchOptions, MaxFailures, Retry
from spacedock.batching.batch_run import BatchRun
from spacedock.batching.line_request import RequestMaker
from spacedock.batching.reading import BatchReader, BeginningRead, LineSource
from spacedock.batching.results.line_index import LineIndex, ResultRow
from spacedock.batching.results.results_file import held
from spacedock.batching.sources.line import BadLine, BatchLine
from spacedock.batching.sources.row import SourceOptions
from spacedock.batching.sources.source import open_source
from spacedock.batching.window import fitting
from spacedock.errors import BadRequestError, NotConnectedError, QueueFullError
from spacedock.hosts import Host
from spacedock.request import JobRequest
from spacedock.states import JobState
from spacedock.testing import InMemoryClient

Line = BatchLine | BadLine


class Lines:
    """A source that gives other lines at each reading; the last ones again."""

    name, unit = "some lines", "line"

    def __init__(self, *readings: Sequence[Line], rereadable: bool = True) -> None:
        self._readings, self.rereadable = list(readings), rereadable

    def lines(self) -> Iterator[Line]:
        return iter(self._readings.pop(0) if len(self._readings) > 1 else self._readings[0])


def prompts(*texts: str) -> list[Line]:
    return [BatchLine(number, fields={"prompt": text}) for number, text in enumerate(texts, 1)]


Runner = Callable[..., BatchRun]


@pytest.fixture
def made(tmp_path: Path) -> Runner:
    def make(client: InMemoryClient, source: LineSource, **options: Any) -> BatchRun:
        return BatchRun(client, source, None, (tmp_path, "b"), BatchOptions(**options), "b")

    return make


async def through(run: BatchRun) -> list[str | None]:
    return sorted([line.result.output.text async for line in run.lines()], key=str)


async def test_lines_that_were_changed_meanwhile_are_not_sent_and_told(made: Runner) -> None:
    first, second = prompts("a", "b", "c", "d"), prompts("a", "other", "c")
    async with InMemoryClient() as client:
        run = made(client, Lines(first, second))
        assert await through(run) == ["a", "c"]
    assert (run.tally.changed, run.tally.has_failed) == ([2, 4], True)


@pytest.mark.parametrize(("form", "refused"), [("id", False), ("custom_id", True), ("--id-column", True)])
async def test_an_id_that_comes_twice_in_a_table_is_refused_where_it_is_one_for_sure(
    made: Runner, tmp_path: Path, form: str, refused: bool
) -> None:
    table = tmp_path / "a.csv"
    table.write_text(f"{'id' if form == '--id-column' else form},prompt\n7,a\n7,b\n8,c\n")
    options = SourceOptions(id_column="id" if form == "--id-column" else None)
    async with InMemoryClient() as client:
        run = made(client, open_source(str(table), options))
        if refused:
            with pytest.raises(BadRequestError, match="line 3: its id '7' is also that of line 2"):
                await through(run)
            return
        found = [(line.name.row_id, line.request.labels) async for line in run.lines()]
    assert found == [("7", {"id": "7"}), (None, {"id": "7"}), ("8", {"id": "8"})]
    assert run.tally.repeated_id == (2, 3)


def test_reading_holds_few_lines_whatever_their_number() -> None:
    class Many:
        name, unit, rereadable = "many", "line", True

        def lines(self) -> Iterator[Line]:
            return (BatchLine(n, fields={"prompt": f"line {n}"}, id=str(n)) for n in range(1, 3001))

    with closing(LineIndex()) as index:
        ignore = {"wanted": lambda row: True, "stays": lambda row: None, "invalid": lambda *told: None}
        reader = BatchReader(Many(), RequestMaker({"batch": True}), index, "b", **ignore)
        tracemalloc.start()
        try:
            assert sum(len(chunk) for chunk in reader.first(files=False)) == 3000
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    # All of the requests would be some 8 MB.
    assert peak < 4 * 2**20


async def test_no_more_jobs_are_in_flight_than_asked_for(made: Runner) -> None:
    working = most = 0

    async def answer(request: JobRequest) -> str:
        nonlocal working, most
        working += 1
        most = max(most, working)
        await asyncio.sleep(0)
        working -= 1
        return request.prompt

    async with InMemoryClient(answer) as client:
        texts = [f"{number:03}" for number in range(100)]
        assert await through(made(client, Lines(prompts(*texts)), in_flight=7)) == texts
    assert 1 < most <= 7


async def test_jobs_on_their_way_when_a_batch_stops_are_cancelled(made: Runner) -> None:
    on_their_way = asyncio.Event()

    class Unanswering(InMemoryClient):
        """Submits the second part, and never says so."""

        async def submit_many(self, requests: Iterable[JobRequest | str], **more: Any) -> list[str]:
            ids = await super().submit_many(requests, **more)
            if len(self.requests) > 2:
                on_their_way.set()
                await asyncio.Event().wait()
            return ids

    async def answer(request: JobRequest) -> str:
        await (on_their_way if request.prompt == "bad" else asyncio.Event()).wait()
        raise ValueError("no answer")

    async with Unanswering(answer) as client, asyncio.timeout(60):
        source = Lines(prompts("bad", "b", "c", "d"))
        run = made(client, source, in_flight=8, max_failures=MaxFailures.of("1"))
        await through(run)
        states = {job.state for job in await client.jobs()}
    assert run.stopped
    assert states == {JobState.FAILED, JobState.CANCELLED}


async def test_a_short_pipe_is_checked_as_a_whole(made: Runner) -> None:
    source = BeginningRead(Lines([*prompts("a"), BadLine(2, "{", "not JSON")], rereadable=False))
    async with InMemoryClient() as client:
        with pytest.raises(BadRequestError, match="nothing was submitted"):
            await through(made(client, source))
        assert client.requests == []


async def test_of_a_long_pipe_the_lines_before_a_bad_one_are_run(
    made: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_KEPT", 2)
    bad = BadLine(4, "{", "not JSON")
    source = BeginningRead(Lines([*prompts("a", "b", "c"), bad], rereadable=False))
    async with InMemoryClient() as client:
        with pytest.raises(BadRequestError, match="line 4: not JSON"):
            await through(made(client, source))


async def test_a_pipe_runs_without_its_bad_lines_where_that_is_asked_for(
    made: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_KEPT", 1)
    source = BeginningRead(Lines([*prompts("a"), BadLine(2, "{", "?")], rereadable=False))
    left_out: list[int] = []
    async with InMemoryClient() as client:
        run = made(client, source, skip_invalid=True, invalid=lambda number, *_: left_out.append(number))
        assert await through(run) == ["a"]
    assert left_out == [2]


async def test_the_queue_keeps_only_the_newest_results_of_a_large_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "_KEPT_RESULTS", 5)
    monkeypatch.setattr(keeping, "_IDLE_SYNC_SECONDS", 0)
    monkeypatch.setattr(keeping, "_SYNC_SECONDS", 0)
    async with InMemoryClient() as client:
        with held(tmp_path / "out.jsonl") as results:
            source = Lines(prompts(*map(str, range(40))))
            run = BatchRun(client, source, results, (tmp_path, "b"), BatchOptions(), "b")
            assert len(await through(run)) == 40
        assert len(await client.jobs()) == 5


class Troubled(InMemoryClient):
    """Refuses some submissions before it takes them."""

    def __init__(self, *troubles: Exception) -> None:
        super().__init__()
        self.troubles = list(troubles)

    async def submit_many(self, requests: Iterable[JobRequest | str], *, label: str = "") -> list[str]:
        if self.requests and self.troubles:
            raise self.troubles.pop(0)
        return await super().submit_many(requests, label=label)


@pytest.mark.parametrize(
    "trouble", [QueueFullError(1, 1, 0, 0), NotConnectedError("redis://h", "refused")], ids=["full", "away"]
)
async def test_a_batch_waits_while_the_queue_is_full_or_away(
    made: Runner, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    monkeypatch.setattr(sending, "_PAUSE_SECONDS", 0)
    told: list[str] = []
    async with Troubled(trouble) as client:
        run = made(client, Lines(prompts(*"abcdefgh")), in_flight=4, tell=told.append)
        assert await through(run) == [*"abcdefgh"]
    assert [one.startswith("waiting, then going on: ") for one in told] == [True]


async def test_a_full_queue_without_a_job_of_the_batch_ends_it(made: Runner) -> None:
    client = Troubled(QueueFullError(1, 1, 0, 0))
    client.requests.append(JobRequest(prompt="another's"))
    with pytest.raises(QueueFullError):
        await through(made(client, Lines(prompts("a"))))


async def test_requests_are_of_the_batch_and_each_has_its_own_key(made: Runner) -> None:
    async with InMemoryClient() as client:
        await through(made(client, Lines(prompts("a", "a", "b"))))
    assert len({request.idempotency_key for request in client.requests}) == 3
    assert len({request.batch_id for request in client.requests}) == 1


@pytest.mark.parametrize(
    ("retry", "kinds", "expected"),
    [
        (None, "", []),
        (Retry.FAILED, "", ["crashed", "timeout"]),
        (Retry.DEGRADED, "", ["degraded"]),
        (Retry.ALL, "", ["good", "degraded", "crashed", "timeout"]),
        (None, "timeout, crashed", ["crashed", "timeout"]),
        (Retry.DEGRADED, "timeout", ["degraded", "timeout"]),
    ],
)
def test_which_lines_are_sent_again(retry: Retry | None, kinds: str, expected: list[str]) -> None:
    rows = {
        "good": ResultRow(1, "j", succeeded=True),
        "degraded": ResultRow(1, "j", succeeded=True, degraded=True),
        "crashed": ResultRow(1, "j", succeeded=False, kind="crashed"),
        "timeout": ResultRow(1, "j", succeeded=False, kind="timeout"),
    }
    again = Again.of(retry, kinds or None)
    assert [name for name, row in rows.items() if again.wants(row)] == expected


async def test_a_retry_needs_the_results_that_it_replaces(made: Runner) -> None:
    async with InMemoryClient() as client:
        with pytest.raises(BadRequestError, match="--retry needs the results file of an earlier run"):
            await through(made(client, Lines(prompts("a")), again=Again(Retry.FAILED)))


@pytest.mark.parametrize(
    ("text", "reached"), [("3", [(3, 3), (3, 900)]), ("10%", [(2, 20), (90, 900)]), ("0.5%", [(5, 1000)])]
)
def test_when_failures_are_too_many(text: str, reached: list[tuple[int, int]]) -> None:
    most = MaxFailures.of(text)
    assert all(most.reached(failed, ended) for failed, ended in reached)
    assert not any(most.reached(failed - 1, ended) for failed, ended in reached)


def test_a_share_of_very_few_lines_stops_nothing() -> None:
    assert not MaxFailures.of("10%").reached(1, 1)


@pytest.mark.parametrize("text", ["", "0", "-1", "some", "2.5", "%", "101%"])
def test_a_bound_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadRequestError, match="give a number of lines, or a share such as 2%"):
        MaxFailures.of(text)


def test_the_window_fits_the_hosts() -> None:
    hosts = [Host(id="a", containers=3), Host(id="b", containers=100, alive=False), Host(id="c")]
    assert (fitting([]), fitting(hosts), fitting(hosts * 100)) == (64, 128, 2000)
