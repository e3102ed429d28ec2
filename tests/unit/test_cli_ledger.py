"""What a batch has behind it: results files that were torn or are foreign, and picking a batch up."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from spacedock.cli.batching.checkpoint import Checkpoint, fingerprint, identities, state_dir
from spacedock.cli.batching.progress import BatchProgress
from spacedock.cli.batching.results_file import LineName, held, read_rows, tidy, write_line
from spacedock.errors import BadRequestError
from spacedock.request import JobRequest, Priority, Tier
from spacedock.result import (
    AnsweredBy,
    AnswerKind,
    Attempt,
    AttemptError,
    ErrorKind,
    JobResult,
    Output,
    Stage,
)
from spacedock.states import JobState

REQUEST = JobRequest(prompt="hello")
RESULT = JobResult(id="j1", state=JobState.SUCCEEDED, output=Output(text="zwei\nLinien: ü"))


FAILED = RESULT.model_copy(update={"state": JobState.FAILED, "id": "f1"})


def named(number: int, asked: str | None = None, *files: str) -> LineName:
    return LineName(number, asked or f"asked-{number}", files, None, "ours")


def row(number: int, result: JobResult = RESULT, name: LineName | None = None) -> bytes:
    text = io.StringIO()
    write_line(text, name or named(number), REQUEST, result)
    return text.getvalue().encode()


def refused(path: Path) -> str:
    with pytest.raises(BadRequestError) as caught, held(path):
        pass
    return str(caught.value)


def test_a_result_is_one_line_with_its_number_and_prompt() -> None:
    written = json.loads(row(3))
    assert (written["line"], written["prompt"], written["id"]) == (3, "hello", "j1")


def test_answered_lines_are_known_with_what_they_asked(tmp_path: Path) -> None:
    (tmp_path / "r").write_bytes(row(1) + row(4))
    rows = read_rows(tmp_path / "r")
    assert {asked: (row.number, row.succeeded) for asked, row in rows.items()} == {
        "asked-1": (1, True),
        "asked-4": (4, True),
    }


def test_a_failed_line_is_not_done_and_its_last_try_counts(tmp_path: Path) -> None:
    (tmp_path / "r").write_bytes(row(1, FAILED) + row(2) + row(2, FAILED) + row(3, FAILED) + row(3))
    rows = read_rows(tmp_path / "r")
    assert [found.succeeded for found in rows.values()] == [False, False, True]


def test_a_missing_file_has_no_answers(tmp_path: Path) -> None:
    assert read_rows(tmp_path / "r") == {}


@pytest.mark.parametrize("torn", [1, 5, 9, 40, -1])
def test_a_torn_last_line_is_cut_off(tmp_path: Path, torn: int) -> None:
    (tmp_path / "r").write_bytes(row(1) + row(2)[:torn])
    with held(tmp_path / "r") as (file, rows):
        write_line(file, named(3), REQUEST, RESULT)
    assert list(rows) == ["asked-1"]
    assert (tmp_path / "r").read_bytes() == row(1) + row(3)


def test_what_is_only_looked_at_stays_as_it_is_while_another_command_writes(tmp_path: Path) -> None:
    (tmp_path / "r").write_bytes(row(1) + row(2)[:40])
    assert list(read_rows(tmp_path / "r")) == ["asked-1"]
    assert (tmp_path / "r").read_bytes() == row(1) + row(2)[:40]


def test_two_batches_do_not_write_to_one_file_at_a_time(tmp_path: Path) -> None:
    with held(tmp_path / "r"):
        assert "another batch is writing" in refused(tmp_path / "r")
    with held(tmp_path / "r") as (file, _):
        write_line(file, named(1), REQUEST, RESULT)
    assert (tmp_path / "r").read_bytes() == row(1)


def test_a_file_whose_name_is_no_unicode_has_a_line(tmp_path: Path) -> None:
    odd = named(1, None, "caf\udce9.png")
    with held(tmp_path / "r") as (file, _):
        write_line(file, odd, REQUEST, RESULT)
    tidy(tmp_path / "r", {2: LineName(2, odd.identity, odd.files, None, "ours")})
    (line,) = (tmp_path / "r").read_text("utf-8").splitlines()
    assert (json.loads(line)["file"], json.loads(line)["line"]) == ("caf\udce9.png", 2)


def test_a_device_takes_results() -> None:
    with held(Path("/dev/null")) as (file, rows):
        write_line(file, named(1), REQUEST, RESULT)
    assert rows == {}


def test_a_new_file_that_nothing_came_into_goes_again(tmp_path: Path) -> None:
    with held(tmp_path / "new" / "r"):
        pass
    assert not (tmp_path / "new" / "r").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"my only notes",
        b'{"a": 1}',
        b'{"prompt": "hello"}\n{"prompt": "hello"}\n',
        b"\n",
        b"1\n",
        b"[]\n",
        b"null\n",
        b'{"line": "x", "asked": "y"}\n',
        b"\xff\xfe\n",
        b"[" * 100_000 + b"\n",
    ],
)
def test_a_foreign_file_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "r").write_bytes(content)
    assert "holds no results of a batch: choose another -o" in refused(tmp_path / "r")
    assert (tmp_path / "r").read_bytes() == content


def test_a_foreign_line_after_results_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r").write_bytes(row(1) + b"and my notes")
    refused(tmp_path / "r")
    assert (tmp_path / "r").read_bytes().endswith(b"and my notes")


def test_a_directory_takes_no_results(tmp_path: Path) -> None:
    assert "cannot take results" in refused(tmp_path)


def test_the_idempotency_key_is_no_part_of_what_is_asked() -> None:
    keyed = REQUEST.model_copy(update={"idempotency_key": "k"})
    assert fingerprint(keyed) == fingerprint(REQUEST)


def test_another_request_is_another_fingerprint() -> None:
    assert fingerprint(JobRequest(prompt="hullo")) != fingerprint(REQUEST)


@pytest.mark.parametrize(
    "how", [{"timeout": 900.0}, {"priority": Priority.HIGH}, {"batch_id": "b"}, {"keep_for": "7d"}]
)
def test_a_line_that_is_only_run_otherwise_asks_the_same(how: dict[str, object]) -> None:
    assert fingerprint(REQUEST.model_copy(update=how)) == fingerprint(REQUEST)


def test_an_unfinished_batch_is_picked_up_with_the_same_keys(tmp_path: Path) -> None:
    first, second = Checkpoint(tmp_path, "b"), Checkpoint(tmp_path, "b")
    assert second.resumed
    assert second.key("x") == first.key("x")


def test_another_batch_has_other_keys(tmp_path: Path) -> None:
    assert Checkpoint(tmp_path, "b").key("x") != Checkpoint(tmp_path, "c").key("x")


def test_a_line_that_failed_is_asked_by_another_job(tmp_path: Path) -> None:
    book = Checkpoint(tmp_path, "b")
    assert len({book.key("x"), book.key("x", "f1"), book.key("x", "f2")}) == 3


def test_a_line_is_known_by_what_it_asks_wherever_it_stands() -> None:
    other = JobRequest(prompt="hullo")
    before, after = (
        identities({1: REQUEST, 2: other}),
        identities({1: JobRequest(prompt="new"), 2: REQUEST, 3: other}),
    )
    assert (before[1], before[2]) == (after[2], after[3])


def test_lines_that_ask_the_same_are_told_apart() -> None:
    assert len(set(identities({1: REQUEST, 4: REQUEST, 9: REQUEST}).values())) == 3


def test_a_finished_batch_starts_anew(tmp_path: Path) -> None:
    first = Checkpoint(tmp_path, "b")
    first.finish()
    second = Checkpoint(tmp_path, "b")
    assert not second.resumed
    assert second.key("x") != first.key("x")


def test_a_key_fits_into_a_request(tmp_path: Path) -> None:
    key = Checkpoint(tmp_path, "b").key(f"{fingerprint(REQUEST)}-{10**9}", "f" * 32)
    assert JobRequest(prompt="x", idempotency_key=key)


def tidied(path: Path, *names: LineName) -> list[tuple[int, str, str]]:
    tidy(path, {name.number: name for name in names})
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [(row["line"], row["asked"], row["state"]) for row in rows]


def test_a_try_that_failed_goes_once_the_line_is_answered(tmp_path: Path) -> None:
    (tmp_path / "r").write_bytes(row(1, FAILED) + row(2) + row(1))
    assert tidied(tmp_path / "r", named(1), named(2)) == [
        (2, "asked-2", "succeeded"),
        (1, "asked-1", "succeeded"),
    ]


def test_answers_get_the_numbers_that_their_lines_have_now(tmp_path: Path) -> None:
    (tmp_path / "r").write_bytes(row(1) + row(2))
    assert [number for number, *_ in tidied(tmp_path / "r", named(2, "asked-1"), named(3, "asked-2"))] == [
        2,
        3,
    ]


@pytest.mark.parametrize("files", [(), ("a.png",)], ids=["line", "file"])
def test_the_failure_of_a_line_that_was_mended_goes(tmp_path: Path, files: tuple[str, ...]) -> None:
    broken, mended = named(1, "old", *files), named(1, "new", *files)
    (tmp_path / "r").write_bytes(row(1, FAILED, broken) + row(1, name=mended))
    assert [asked for _, asked, _ in tidied(tmp_path / "r", mended)] == ["new"]


@pytest.mark.parametrize(
    ("new", "left"), [(RESULT, ["new"]), (FAILED, ["old", "new"])], ids=["answered", "failed"]
)
def test_the_answer_to_a_file_that_was_changed_goes_once_there_is_a_new_one(
    tmp_path: Path, new: JobResult, left: list[str]
) -> None:
    old, changed = named(1, "old", "a.png"), named(1, "new", "a.png")
    (tmp_path / "r").write_bytes(row(1, name=old) + row(1, new, changed))
    assert [asked for _, asked, _ in tidied(tmp_path / "r", changed)] == left


def test_the_answer_to_a_numbered_line_that_was_changed_stays(tmp_path: Path) -> None:
    (tmp_path / "r").write_bytes(row(1, name=named(1, "old")) + row(1, name=named(1, "new")))
    assert [asked for _, asked, _ in tidied(tmp_path / "r", named(1, "new"))] == ["old", "new"]


def test_results_of_other_batches_in_the_same_file_stay(tmp_path: Path) -> None:
    foreign = LineName(1, "foreign", ("a.png",), None, "theirs")
    answered = LineName(1, "answered", ("a.png",), None, "ours")
    (tmp_path / "r").write_bytes(row(1, FAILED, foreign) + row(1, name=answered) + row(1))
    kept = [asked for _, asked, _ in tidied(tmp_path / "r", named(1))]
    assert kept == ["foreign", "answered", "asked-1"]


def test_a_line_names_its_file_and_row() -> None:
    name = LineName(3, "x", ("pics/a.png",), "7", "b")
    assert name.fields == {"line": 3, "asked": "x", "batch": "b", "row_id": "7", "file": "pics/a.png"}
    assert name.folder == "a.png"
    assert (LineName(3, "x", (), "7", "b").folder, LineName(3, "x", (), None, "b").folder) == ("7", "00003")


def test_failures_are_told_by_reason_with_their_lines(capsys: pytest.CaptureFixture[str]) -> None:
    meter = BatchProgress(6)
    for number in (1, 2, 3, 6):
        meter.add(named(number), FAILED)
    meter.add(named(5), RESULT)
    meter.summarise(None)
    said = capsys.readouterr().err
    assert "  4 failed: the job was failed\n    lines 1-3, line 6\n" in said


def test_failures_that_differ_in_the_name_of_the_file_alone_are_one_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    meter = BatchProgress(2)
    for number, file in enumerate(("in/a.png", "in/b.png"), 1):
        error = AttemptError(kind=ErrorKind.APP_ERROR, message=f"cannot read {Path(file).name}")
        attempt = Attempt(tier=Tier.HEAVY, name="ocr", stage=Stage.CALL, error=error)
        failed = FAILED.model_copy(update={"attempts": (attempt,)})
        meter.add(named(number, None, file), failed)
    meter.summarise(Path("r.jsonl"))
    said = capsys.readouterr().err
    assert "  2 failed: ocr: app_error: cannot read FILE\n    in/a.png, in/b.png\n" in said
    assert said.endswith("results: r.jsonl; the same command asks the 2 that failed again\n")


def test_of_a_traceback_its_last_line_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    said = (
        "the app ended. Its last words:\nTraceback (most recent call last):\n  File x\nValueError: no weights"
    )
    error = AttemptError(kind=ErrorKind.CRASHED, message=said)
    attempt = Attempt(tier=Tier.HEAVY, name="crash", stage=Stage.READY, error=error)
    meter = BatchProgress(1)
    meter.add(named(1), FAILED.model_copy(update={"attempts": (attempt,)}))
    meter.summarise(None)
    told = "crash: crashed: the app ended. Its last words: ValueError: no weights\n"
    assert told in capsys.readouterr().err


def test_who_gave_no_answer_before_another_did_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    error = AttemptError(kind=ErrorKind.CRASHED, message="the app ended. Its last words:\nno weights\nbye")
    attempt = Attempt(tier=Tier.HEAVY, name="crash", stage=Stage.READY, error=error)
    by = AnsweredBy(tier=Tier.HEAVY, kind=AnswerKind.SPACE, name="moods")
    meter = BatchProgress(2)
    for number in (1, 2):
        answered = {"attempts": (attempt,), "answered_by": by}
        meter.add(named(number), RESULT.model_copy(update=answered))
    meter.summarise(None)
    told = "  2 by moods (heavy)\n  2 not by crash: crashed: the app ended. Its last words: no weights\n"
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff"])
def test_a_memory_that_was_torn_is_no_obstacle(tmp_path: Path, content: bytes) -> None:
    Checkpoint(tmp_path, "b")
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(content)
    assert not Checkpoint(tmp_path, "b").resumed
    assert Checkpoint(tmp_path, "b").resumed


def test_a_place_that_cannot_keep_anything_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadRequestError, match="XDG_STATE_HOME"):
        Checkpoint(tmp_path / "file", "b")


def test_a_source_whose_name_is_no_unicode_can_be_remembered(tmp_path: Path) -> None:
    assert not Checkpoint(tmp_path, "\udcff.jsonl").resumed


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"XDG_STATE_HOME": "/s", "HOME": "/h"}, "/s/spacedock/batches"),
        ({"XDG_STATE_HOME": "", "HOME": "/h"}, "/h/.local/state/spacedock/batches"),
        ({}, "/.local/state/spacedock/batches"),
    ],
)
def test_batches_are_remembered_in_this_users_state(env: dict[str, str], expected: str) -> None:
    assert state_dir(env) == Path(expected)
