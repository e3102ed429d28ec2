"""The store of runs: bounded, exact, durable, and never in a job's way."""

from __future__ import annotations

import math
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacedock_worker.profiling.measured import BLAMELESS, measured, percentile
from spacedock_worker.profiling.profiles import FILE, ProfileStore, Run

seconds = st.floats(0, 1000, allow_nan=False)


def ran(space: str = "mood", digest: str = "sha256:a", at: float = 0.0, **more: object) -> Run:
    fields = {
        "digest": digest,
        "space": space,
        "at": at,
        "ok": True,
        "kind": None,
        "start_seconds": None,
        "call_seconds": 1.0,
        "peak_memory": None,
        **more,
    }
    return Run(**fields)  # type: ignore[arg-type]


def failed(kind: str, **more: object) -> Run:
    return ran(ok=False, kind=kind, **more)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., ProfileStore]]:
    opened: list[ProfileStore] = []

    def make(**limits: int) -> ProfileStore:
        store = ProfileStore(tmp_path / FILE, **limits)
        store.open()
        opened.append(store)
        return store

    yield make
    for store in opened:
        store.close()


@given(st.lists(seconds, min_size=1, max_size=60), st.sampled_from([0.5, 0.95]))
def test_a_percentile_is_the_least_value_that_so_many_do_not_pass(values: list[float], share: float) -> None:
    enough = [x for x in values if sum(other <= x for other in values) >= share * len(values) - 1e-9]
    assert percentile(sorted(values), share) == min(enough)


@given(st.lists(st.builds(ran, at=seconds, call_seconds=seconds | st.none(), ok=st.booleans()), min_size=1))
def test_calls_that_failed_count_for_the_rate_and_not_for_the_times(runs: list[Run]) -> None:
    found = measured(runs)
    calls = sorted(run.call_seconds for run in runs if run.ok and run.call_seconds is not None)
    assert found.success_rate == sum(run.ok for run in runs) / len(runs)
    assert found.call_p50 == (calls[math.ceil(len(calls) / 2) - 1] if calls else None)
    assert found.last == max(run.at for run in runs)


def test_what_was_noted_is_measured_by_image_and_space(make) -> None:
    store = make()
    store.note(ran(at=1, start_seconds=4.0, call_seconds=0.2, peak_memory=100))
    store.note(ran(at=2, call_seconds=0.4, peak_memory=300))
    store.note(failed("timeout", at=3, call_seconds=60.0))
    store.note(ran(digest="sha256:b", at=4))
    found = store.of("sha256:a")
    assert (found.runs, found.succeeded, found.starts, found.errors) == (3, 2, 1, {"timeout": 1})
    assert (found.start_p50, found.start_max, found.call_p50, found.call_p95) == (4.0, 4.0, 0.2, 0.4)
    assert (found.peak_memory, found.last) == (300, 3)
    assert store.of_space("mood").digest == "sha256:b"
    assert [one.digest for one in store.images("mood")] == ["sha256:b", "sha256:a"]
    assert [run.at for run in store.history("mood", 3)] == [2, 3, 4]
    assert store.all().keys() == {"mood"}
    assert (store.of("sha256:c"), store.of_space("other"), store.history("other", 5)) == (None, None, ())


@pytest.mark.parametrize("kind", sorted(BLAMELESS))
def test_a_failure_that_is_no_fault_of_the_space_is_not_remembered(make, kind: str) -> None:
    store = make()
    store.note(failed(kind))
    assert store.of_space("mood") is None


def test_runs_without_an_image_stand_for_a_space_only_where_it_never_had_one(make) -> None:
    store = make()
    store.note(failed("build_failed", digest=""))
    assert store.of_space("mood").succeeded == 0
    store.note(ran())
    store.note(failed("build_failed", digest=""))
    assert store.of_space("mood").digest == "sha256:a"


def test_a_peak_that_was_seen_later_is_the_last_runs(make, tmp_path: Path) -> None:
    store = make()
    store.peaked("sha256:a", 5)
    assert store.of("sha256:a") is None
    store.note(ran(peak_memory=10))
    store.peaked("sha256:a", 7)
    assert store.of("sha256:a").peak_memory == 10
    store.peaked("sha256:a", 20)
    store.close()
    assert make().of("sha256:a").peak_memory == 20


def test_what_is_remembered_survives_a_restart(make) -> None:
    store = make()
    runs = [ran(at=n, start_seconds=n / 2, peak_memory=n) for n in range(20)] + [failed("crashed", at=99)]
    for run in runs:
        store.note(run)
    before = store.of("sha256:a")
    store.close()
    store.close()
    again = make()
    assert again.of("sha256:a") == before
    assert again.history("mood", 99) == tuple(runs)


def test_what_is_forgotten_stays_forgotten(make) -> None:
    store = make()
    for digest in "ab":
        store.note(ran(digest=digest))
    store.note(ran(space="other"))
    store.forget("mood")
    store.forget("mood")
    assert store.all().keys() == {"other"}
    store.close()
    assert make().all().keys() == {"other"}


def test_memory_and_file_are_bounded(make, tmp_path: Path) -> None:
    store = make(per_image=5, images=3, runs=12)
    for image in "abcd":
        for number in range(8):
            store.note(ran(space=image, digest=image, at=number))
    assert store.all().keys() == {"c", "d"}
    assert [run.at for run in store.history("d", 99)] == [3, 4, 5, 6, 7]
    store.close()
    with closing(sqlite3.connect(tmp_path / FILE)) as file:
        rows = file.execute("SELECT space, count(*), min(at) FROM runs GROUP BY space").fetchall()
    assert rows == [("c", 5, 3.0), ("d", 5, 3.0)]


def test_starts_are_remembered_however_many_calls_came_after_them(make, tmp_path: Path) -> None:
    store = make(per_image=5)
    for number in range(30):
        store.note(ran(at=number, start_seconds=float(number)))
    for number in range(30, 50):
        store.note(ran(at=number))
    found = store.of("sha256:a")
    assert (found.runs, found.starts, found.start_p50, found.start_max) == (5, 20, 19.0, 29.0)
    store.close()
    again = make(per_image=5)
    assert again.of("sha256:a") == found
    again.forget("mood")
    again.close()
    with closing(sqlite3.connect(tmp_path / FILE)) as file:
        assert file.execute("SELECT count(*) FROM runs").fetchone() == (0,)


def test_many_may_note_at_once(make) -> None:
    store = make()

    def work(space: str) -> None:
        for number in range(200):
            store.note(ran(space=space, at=number))
            store.of_space(space)
            store.all()

    threads = [threading.Thread(target=work, args=(f"space-{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()
    again = make()
    assert {one.runs for one in again.all().values()} == {200}
    assert len(again.all()) == 8


@pytest.mark.parametrize(
    "damage", ["start_seconds = 'x'", "at = x'00'", "peak_memory = 9e999", "space = x'00'", "kind = x'05'"]
)
def test_a_run_that_makes_no_sense_is_left_out(make, tmp_path: Path, damage: str) -> None:
    store = make()
    for number in range(3):
        store.note(ran(at=number))
    store.close()
    with closing(sqlite3.connect(tmp_path / FILE)) as file:
        file.execute(f"UPDATE runs SET {damage} WHERE id = 2")
        file.commit()
    assert [run.at for run in make().history("mood", 99)] == [0, 2]


def test_a_text_that_is_none_costs_no_other_run(make, tmp_path: Path) -> None:
    store = make()
    for number in range(3):
        store.note(failed("crashed", at=number))
    store.close()
    with closing(sqlite3.connect(tmp_path / FILE)) as file:
        file.execute("UPDATE runs SET kind = CAST(x'fffe' AS TEXT) WHERE id = 2")
        file.commit()
    assert [run.at for run in make().history("mood", 99)] == [0, 1, 2]


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_a_broken_file_is_set_aside_and_begun_anew(make, tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    store = make()
    assert store.all() == {}
    store.note(ran())
    store.close()
    assert (tmp_path / f"{FILE}.broken").read_bytes() == content
    assert make().of_space("mood").runs == 1


def test_a_table_of_something_else_is_set_aside(make, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE)) as file:
        file.execute("CREATE TABLE runs (something)")
    store = make()
    store.note(ran())
    store.close()
    assert make().of_space("mood").runs == 1


def test_a_file_that_breaks_while_it_is_used_costs_what_it_held(make, tmp_path: Path) -> None:
    store = make()
    store.note(ran())
    store.close()
    with closing(sqlite3.connect(tmp_path / FILE)) as file:
        file.execute("DROP TABLE runs")
        file.execute("CREATE TABLE runs (something)")
        file.commit()
    broken = ProfileStore(tmp_path / FILE)
    broken.open()
    broken.note(ran(space="other"))
    broken.close()
    assert make().all().keys() == {"other"}


def test_a_file_that_cannot_be_written_costs_no_run(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("no folder")
    with closing(ProfileStore(tmp_path / "taken" / FILE)) as store:
        store.open()
        store.note(ran())
        assert store.of_space("mood").runs == 1


FULL = """
import resource, sys
from contextlib import closing
from pathlib import Path
from spacedock_worker.profiling.profiles import ProfileStore, Run

with closing(ProfileStore(Path(sys.argv[1]))) as store:
    store.open()
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    for number in range(300):
        store.note(Run("sha256:a", "mood", float(number), True, None, None, 1.0, None))
    print(store.of_space("mood").runs)
"""


def test_a_full_disk_costs_no_run(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", FULL, str(tmp_path / FILE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "profiles.not_written" in done.stdout
    assert "300" in done.stdout.splitlines()
    assert not (tmp_path / f"{FILE}.broken").exists()
