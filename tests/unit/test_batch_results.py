"""What a batch has behind it: results files that were torn or are foreign, and picking a batch up."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from spacedock.batching.checkpoint import Checkpoint, fingerprint, state_dir
from spacedock.batching.results.line_index import DuplicateIdError, LineIndex, LineName, ResultRow, known_as
from spacedock.batching.results.openai_lines import write_openai_lines
from spacedock.batching.results.results_file import InvalidLines, held, row_of, seen
from spacedock.batching.results.row_forms import form_of
from spacedock.batching.sources.line import BadLine
from spacedock.batching.tally import Tally
from spacedock.cli.batch_progress import summarise
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
from spacedock.testing import InMemoryClient

REQUEST = JobRequest(prompt="hello")
RESULT = JobResult(id="j1", state=JobState.SUCCEEDED, output=Output(text='zwei\n"Linien": ü\r'))


FAILED = RESULT.model_copy(update={"state": JobState.FAILED, "id": "f1"})
FORMS = pytest.mark.parametrize("suffix", ["jsonl", "csv"])


def named(number: int, asked: str | None = None, *files: str) -> LineName:
    return LineName(number, asked or f"asked{number}", files, None, "ours")


def fields(number: int, result: JobResult = RESULT, name: LineName | None = None) -> dict[str, Any]:
    own = (name or named(number)).fields | {"prompt": "hello", "run": "r"}
    return own | result.model_dump(mode="json")


def row(
    number: int, result: JobResult = RESULT, name: LineName | None = None, suffix: str = "jsonl"
) -> bytes:
    return form_of(f".{suffix}").written(fields(number, result, name)).encode()


def header(suffix: str) -> bytes:
    return form_of(f".{suffix}").header


def known(path: Path) -> dict[str, ResultRow]:
    """What a results file has of the first lines, by their identities."""
    with closing(LineIndex()) as index:
        seen(path).load(index, "ours")
        found = {f"asked{number}": index.row(f"asked{number}") for number in range(10)}
    return {asked: row for asked, row in found.items() if row is not None}


def written(path: Path, *rows: dict[str, Any]) -> None:
    with held(path) as results, closing(LineIndex()) as index:
        results.load(index, "ours")
        for one in rows:
            results.write(one)


def refused(path: Path) -> str:
    with pytest.raises(BadRequestError) as caught:
        written(path)
    return str(caught.value)


def test_a_result_is_one_line_with_its_number_and_prompt() -> None:
    line = json.loads(row(3))
    assert (line["line"], line["prompt"], line["id"]) == (3, "hello", "j1")


@FORMS
def test_answered_lines_are_known_with_what_they_asked(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"r.{suffix}"
    path.write_bytes(header(suffix) + row(1, suffix=suffix) + row(4, FAILED, suffix=suffix))
    rows = known(path)
    assert {asked: (row.number, row.succeeded, row.job_id) for asked, row in rows.items()} == {
        "asked1": (1, True, "j1"),
        "asked4": (4, False, "f1"),
    }


@FORMS
def test_a_failed_line_is_not_done_and_its_last_try_counts(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"r.{suffix}"
    results = (1, FAILED), (2, RESULT), (2, FAILED), (3, FAILED), (3, RESULT)
    path.write_bytes(header(suffix) + b"".join(row(n, result, suffix=suffix) for n, result in results))
    assert [found.succeeded for found in known(path).values()] == [False, False, True]


def test_a_missing_file_has_no_answers(tmp_path: Path) -> None:
    assert known(tmp_path / "r") == {}


@FORMS
@pytest.mark.parametrize("torn", [1, 5, 9, 40, 70, -1])
def test_a_torn_last_line_is_cut_off(tmp_path: Path, torn: int, suffix: str) -> None:
    path = tmp_path / f"r.{suffix}"
    whole = header(suffix) + row(1, suffix=suffix)
    path.write_bytes(whole + row(2, suffix=suffix)[:torn])
    written(path, fields(3))
    assert path.read_bytes() == whole + row(3, suffix=suffix)


def test_a_torn_header_is_written_anew(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_bytes(header("csv")[:10])
    written(tmp_path / "r.csv", fields(1))
    assert (tmp_path / "r.csv").read_bytes() == header("csv") + row(1, suffix="csv")


def test_what_is_only_looked_at_stays_as_it_is_while_another_command_writes(tmp_path: Path) -> None:
    (tmp_path / "r").write_bytes(row(1) + row(2)[:40])
    assert list(known(tmp_path / "r")) == ["asked1"]
    assert (tmp_path / "r").read_bytes() == row(1) + row(2)[:40]


def test_two_batches_do_not_write_to_one_file_at_a_time(tmp_path: Path) -> None:
    with held(tmp_path / "r"):
        assert "another batch is writing" in refused(tmp_path / "r")
    written(tmp_path / "r", fields(1))
    assert (tmp_path / "r").read_bytes() == row(1)


def test_a_file_whose_name_is_no_unicode_has_a_line(tmp_path: Path) -> None:
    odd = named(1, "odd", "caf\udce9.png")
    written(tmp_path / "r", fields(1, name=odd))
    assert tidied(tmp_path / "r", LineName(2, "odd", odd.files, None, "ours")) == [(2, "odd", "succeeded")]
    assert json.loads((tmp_path / "r").read_text("utf-8"))["file"] == "caf\udce9.png"


def test_a_device_takes_results() -> None:
    written(Path("/dev/null"), fields(1))


@FORMS
def test_a_new_file_that_nothing_came_into_goes_again(tmp_path: Path, suffix: str) -> None:
    written(tmp_path / "new" / f"r.{suffix}")
    assert not (tmp_path / "new" / f"r.{suffix}").exists()


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


def identities(*asked: str) -> list[str]:
    with closing(LineIndex()) as index:
        return [index.add_line(number, one, None, None) for number, one in enumerate(asked, 1)]


def test_lines_that_ask_the_same_are_told_apart() -> None:
    assert identities("a", "b", "a", "a") == ["a", "b", "a-2", "a-3"]


@pytest.mark.timeout(30)
def test_many_lines_are_looked_up_and_not_searched_for() -> None:
    count = 20_000
    with closing(LineIndex()) as index:
        for number in range(1, count + 1):
            identity = index.add_line(number, f"{number % 100:016x}", None, None)
            index.add_row(identity, ResultRow(number, "j", succeeded=True))
        assert index.is_tidy()
        assert [index.kept(f"{5:016x}", 4), index.kept(f"{5:016x}-2", 104)] == [5, 105]
        index.add_row(f"{5:016x}", ResultRow(5, "j", succeeded=False))
        assert not index.is_tidy()
        assert [index.kept(f"{5:016x}", 4), index.kept(f"{5:016x}", count)] == [None, 5]


def test_a_line_whose_id_another_has_is_refused_with_the_others_number() -> None:
    with closing(LineIndex()) as index:
        index.add_line(2, "a", "x", None)
        with pytest.raises(DuplicateIdError, match="'x' is also that of line 2"):
            index.add_line(5, "b", "x", None)


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
    with held(path) as results, closing(LineIndex()) as index:
        results.load(index, "ours")
        for name in names:
            found = known_as(name.files[0] if name.files else (), name.row_id)
            index.add_line(name.number, name.identity, name.row_id, found)
        results.tidy(index)
    form = form_of(path.suffix)
    rows = list(form.split(path.read_bytes().removeprefix(form.header).splitlines(keepends=True)))
    told = [form.read(row) for row in rows]
    return [(int(row["line"]), row["asked"], row["state"]) for row in told]


@FORMS
def test_tries_that_failed_go_and_numbers_follow_in_each_form(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"r.{suffix}"
    results = (1, FAILED), (2, RESULT), (1, RESULT)
    path.write_bytes(header(suffix) + b"".join(row(n, result, suffix=suffix) for n, result in results))
    assert tidied(path, named(4, "asked1"), named(2)) == [
        (2, "asked2", "succeeded"),
        (4, "asked1", "succeeded"),
    ]


def test_a_try_that_failed_goes_once_the_line_is_answered(tmp_path: Path) -> None:
    (tmp_path / "r").write_bytes(row(1, FAILED) + row(2) + row(1))
    assert tidied(tmp_path / "r", named(1), named(2)) == [
        (2, "asked2", "succeeded"),
        (1, "asked1", "succeeded"),
    ]


def test_answers_get_the_numbers_that_their_lines_have_now(tmp_path: Path) -> None:
    (tmp_path / "r").write_bytes(row(1) + row(2))
    assert [number for number, *_ in tidied(tmp_path / "r", named(2, "asked1"), named(3, "asked2"))] == [
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
    assert kept == ["foreign", "answered", "asked1"]


def test_a_line_names_its_file_and_row() -> None:
    name = LineName(3, "x", ("pics/a.png",), "7", "b")
    assert name.fields == {"line": 3, "asked": "x", "batch": "b", "row_id": "7", "file": "pics/a.png"}
    assert name.folder == "7"
    assert (LineName(3, "x", (), "7", "b").folder, LineName(3, "x", (), None, "b").folder) == ("7", "00003")


def summary(capsys: pytest.CaptureFixture[str], *results: tuple[LineName, JobResult]) -> str:
    tally = Tally(total=len(results))
    for name, result in results:
        tally.add(row_of(fields(name.number, result, name), "ours"), result)
    summarise(tally, 0.0, Path("r.jsonl"))
    return capsys.readouterr().err


def test_failures_are_told_by_kind_with_their_lines_and_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["/bin/spacedock", "batch", "my prompts.txt", "-o", "r.jsonl"])
    said = summary(capsys, *[(named(number), FAILED) for number in (1, 2, 3, 6)], (named(5), RESULT))
    assert "  4 failed: failed: the job was failed\n    lines 1-3, line 6\n" in said
    again = "4 failed: to try them again: spacedock batch 'my prompts.txt' -o r.jsonl --retry failed\n"
    assert said.endswith(f"results: r.jsonl\n{again}")


def broken(kind: ErrorKind, message: str, stage: Stage = Stage.CALL) -> JobResult:
    attempt = Attempt(
        tier=Tier.HEAVY, name="ocr", stage=stage, error=AttemptError(kind=kind, message=message)
    )
    return FAILED.model_copy(update={"attempts": (attempt,)})


def test_failures_that_differ_in_the_name_of_the_file_alone_are_alike(
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = ("in/a.png", "in/b.png")
    failed = [
        (named(number, None, file), broken(ErrorKind.APP_ERROR, f"cannot read {Path(file).name}"))
        for number, file in enumerate(files, 1)
    ]
    assert "  2 failed: app_error: ocr: cannot read FILE\n    lines 1-2\n" in summary(capsys, *failed)


def test_of_failures_that_differ_one_is_told_as_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    failed = [(named(n), broken(ErrorKind.APP_ERROR, f"no {n}")) for n in (1, 2)]
    assert "  2 failed: app_error: such as ocr: no 1\n" in summary(capsys, *failed)


def test_of_a_traceback_its_last_line_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    words = (
        "the app ended. Its last words:\nTraceback (most recent call last):\n  File x\nValueError: no weights"
    )
    said = summary(capsys, (named(1), broken(ErrorKind.CRASHED, words, Stage.READY)))
    assert "crashed: ocr: the app ended. Its last words: ValueError: no weights\n" in said


def test_who_gave_no_answer_before_another_did_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    by = AnsweredBy(tier=Tier.HEAVY, kind=AnswerKind.SPACE, name="moods")
    attempts = broken(ErrorKind.CRASHED, "no weights", Stage.READY).attempts
    answered = RESULT.model_copy(update={"attempts": attempts, "answered_by": by})
    said = summary(capsys, (named(1), answered), (named(2), answered))
    assert "  2 by moods (heavy)\n  2 not by ocr: crashed: no weights\n" in said


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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device that takes nothing is Linux's")
def test_a_full_disk_is_told_with_what_to_do() -> None:
    with (
        pytest.raises(BadRequestError, match=r"^/dev/full takes no more: No space left on device\. Mend"),
        held(Path("/dev/full")) as results,
    ):
        results.write(fields(1))


def test_the_directory_where_the_command_runs_takes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadRequestError, match=r"^\. cannot take results: Is a directory"), held(Path()):
        pass
    assert InvalidLines(Path()).path == Path(".errors.jsonl")


@pytest.mark.parametrize(("content", "is_there"), [('{"line": 1, "error": "x"}\n', False), ("mine\n", True)])
def test_invalid_lines_of_an_earlier_run_go_when_there_are_none(
    tmp_path: Path, content: str, is_there: bool
) -> None:
    errors = InvalidLines(tmp_path / "out.jsonl")
    errors.forget()
    errors.path.write_text(content)
    errors.forget()
    assert errors.path.exists() is is_there


async def test_a_request_that_cannot_be_read_has_its_error_under_its_own_id(tmp_path: Path) -> None:
    bad = [
        BadLine(1, '{"custom_id": "a", "body": 1, "url": ""}', "no"),
        BadLine(2, '{"custom_id": "b", "params": {}}', "no"),
        BadLine(3, "[1", "not JSON"),
    ]
    theirs = [BadLine(1, "[1", "not JSON"), BadLine(2, '{"custom_id": "b", "params": {}}', "no")]
    rows, out, errors = (tmp_path / name for name in ("rows", "out", "errors"))
    async with InMemoryClient() as client:
        await write_openai_lines(client, iter(bad), rows, out, errors)
    told = [json.loads(line) for line in errors.read_text().splitlines()]
    assert [line["custom_id"] for line in told] == ["a", "b", None]
    assert not out.read_text()
    async with InMemoryClient() as client:
        await write_openai_lines(client, iter(theirs), rows, out, errors)
    told = [json.loads(line) for line in errors.read_text().splitlines()]
    # One that cannot be read is written as the file's other lines are.
    assert [line["result"]["type"] for line in told] == ["errored", "errored"]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_line_that_was_asked_again_keeps_its_place(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    with held(path) as file:
        file.begin()
        for number, text in ((2, "two"), (3, "first"), (1, 'one\n"quoted"'), (3, "last"), (10**9, "far")):
            output = Output(text=text)
            result = JobResult(id=text, state=JobState.SUCCEEDED, output=output).model_dump(mode="json")
            file.write({"line": number, "asked": "", "batch": "-", "prompt": "", "run": "", **result})
        file.settle()
    read = form_of(suffix)
    with path.open("rb") as written:
        written.read(len(read.header))
        found = [(int(row["line"]), row["id"]) for row in map(read.read, read.split(written))]
    assert found == [(1, 'one\n"quoted"'), (2, "two"), (3, "last"), (10**9, "far")]
