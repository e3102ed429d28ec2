"""What people read and what is saved: no control characters, no names that leave the folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacedock.batching.results import saving
from spacedock.batching.results.saving import file_name
from spacedock.cli.output import text as printing
from spacedock.cli.output.text import printable
from spacedock.request import Tier
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

BY = AnsweredBy(tier=Tier.HEAVY, kind=AnswerKind.SPACE, name="mood\x1b[31m")


@pytest.mark.parametrize("bad", ["\x1b[2J", "\x07", "\x00", "\r", "\x9b31m", "\x7f", "\x08"])
def test_nothing_that_moves_the_cursor_is_printed(bad: str) -> None:
    assert not set(printable(f"a{bad}b")) & {"\x1b", "\x07", "\x00", "\r", "\x9b", "\x7f", "\x08"}


def test_tabs_lines_and_letters_stay() -> None:
    assert printable("a\tb\nü 漢") == "a\tb\nü 漢"


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("..", "file"),
        (".", "file"),
        ("", "file"),
        ("...", "file"),
        (".bashrc", "bashrc"),
        ("..\u200bx", "_x"),
        ("/etc/passwd", "passwd"),
        ("../../x.png", "x.png"),
        ("a\nb\x1b.png", "a_b_.png"),
        ("\u202egnp.exe", "_gnp.exe"),
        ("picture one.png", "picture one.png"),
        ("größe.tar.gz", "größe.tar.gz"),
    ],
)
def test_a_saved_files_name_is_safe(name: str, safe: str) -> None:
    assert file_name(name) == safe


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=255))
def test_any_name_is_one_visible_file_of_its_folder(name: str) -> None:
    safe = file_name(name)
    assert safe.isprintable()
    assert safe
    assert not safe.startswith(".")
    assert Path(safe).name == safe
    assert len(safe.encode()) <= 200


def test_a_long_name_keeps_its_suffix() -> None:
    assert file_name("ü" * 250 + ".png").endswith("ü.png")


def test_the_same_content_is_saved_once(tmp_path: Path) -> None:
    assert saving._write(tmp_path, "a.txt", b"1") == saving._write(tmp_path, "a.txt", b"1")


def test_another_content_of_the_same_name_gets_a_number(tmp_path: Path) -> None:
    saving._write(tmp_path, "a.txt", b"1")
    assert saving._write(tmp_path, "a.txt", b"2") == tmp_path / "a-2.txt"
    assert (tmp_path / "a.txt").read_bytes() == b"1"


def test_a_folder_of_that_name_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.txt").mkdir()
    assert saving._write(tmp_path, "a.txt", b"1") == tmp_path / "a-2.txt"


@pytest.mark.parametrize("there", [True, False])
def test_a_link_of_that_name_is_not_followed(tmp_path: Path, there: bool) -> None:
    (tmp_path / "out").mkdir()
    if there:
        (tmp_path / "elsewhere").write_bytes(b"1")
    (tmp_path / "out/a.txt").symlink_to(tmp_path / "elsewhere")
    assert saving._write(tmp_path / "out", "a.txt", b"1") == tmp_path / "out/a-2.txt"
    assert (tmp_path / "elsewhere").exists() is there


@pytest.mark.timeout(10)
def test_a_pipe_of_that_name_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.txt")
    assert saving._write(tmp_path, "a.txt", b"1") == tmp_path / "a-2.txt"


def test_a_name_that_climbs_is_saved_inside(tmp_path: Path) -> None:
    assert saving._write(tmp_path / "out", "..", b"1") == tmp_path / "out/file"


def test_an_answer_is_data_and_its_author_is_talk(capsys: pytest.CaptureFixture[str]) -> None:
    printing.show(JobResult(id="j", state=JobState.SUCCEEDED, answered_by=BY, output=Output(text="positive")))
    out, err = capsys.readouterr()
    assert out == "positive\n"
    assert err == "answered by mood\ufffd[31m (heavy) in 0.0 s\n"


def test_a_degraded_answer_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    printing.show(JobResult(id="j", state=JobState.SUCCEEDED, answered_by=BY, degraded=True))
    assert "degraded: " in capsys.readouterr().err


def test_an_answer_in_place_of_another_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    errors = [
        AttemptError(kind=ErrorKind.BAD_INPUT, message="no input 'foo'"),
        AttemptError(kind=ErrorKind.SKIPPED, message="no model"),
    ]
    attempts = [Attempt(tier=Tier.HEAVY, name="glad", stage=Stage.CALL, error=e) for e in errors]
    answer = JobResult(id="j", state=JobState.SUCCEEDED, answered_by=BY)
    printing.show(answer.model_copy(update={"attempts": tuple(attempts)}))
    assert "  glad: bad_input at call: no input 'foo'\n" in capsys.readouterr().err
    printing.show(answer.model_copy(update={"attempts": tuple(attempts[1:])}))
    assert "glad" not in capsys.readouterr().err


def test_a_failure_is_talk_with_the_reason_of_every_step(capsys: pytest.CaptureFixture[str]) -> None:
    errors = [
        AttemptError(kind=ErrorKind.CRASHED, message="exit code 1"),
        AttemptError(kind=ErrorKind.SKIPPED, message="no model"),
    ]
    attempts = tuple(Attempt(tier=Tier.HEAVY, name="mood", stage=Stage.READY, error=e) for e in errors)
    printing.show(JobResult(id="j", state=JobState.FAILED, attempts=attempts))
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[1:] == ["  mood: crashed at ready: exit code 1", "  mood: skipped: no model"]


def test_the_folder_of_an_answer_is_no_other_answers(tmp_path: Path) -> None:
    def own(*data: bytes) -> str:
        folder = saving._own_folder(tmp_path, "a.png", list(data))
        for number, content in enumerate(data):
            saving._write(folder, f"{number}.txt", content)
        return folder.name

    assert [own(b"1", b"2"), own(b"1", b"2"), own(b"1"), own(b"3", b"2")] == [
        "a.png",
        "a.png",
        "a.png-2",
        "a.png-3",
    ]


def test_steps_that_failed_alike_say_so_once(capsys: pytest.CaptureFixture[str]) -> None:
    def failed(name: str, message: str, kind: ErrorKind = ErrorKind.REPOSITORY_UNAVAILABLE) -> Attempt:
        error = AttemptError(kind=kind, message=message)
        return Attempt(tier=Tier.HEAVY, name=name, stage=Stage.BUILD, error=error)

    attempts = (
        failed("sums", "the repository of ann/sums cannot be fetched: no network"),
        failed("bob/sums", "the repository of bob/sums cannot be fetched: no network"),
        failed("mood", "pip ended with 1", ErrorKind.BUILD_FAILED),
        failed("eve/sums", "the repository of eve/sums cannot be fetched: no network"),
        failed("last", "the repository of eve/last cannot be fetched: private"),
    )
    printing.show(JobResult(id="j", state=JobState.FAILED, attempts=attempts))
    assert capsys.readouterr().err.splitlines()[1:] == [
        "  sums: repository_unavailable at build: the repository of ann/sums cannot be fetched: no network",
        "  bob/sums, eve/sums: the same",
        "  mood: build_failed at build: pip ended with 1",
        "  last: repository_unavailable at build: the repository of eve/last cannot be fetched: private",
    ]
