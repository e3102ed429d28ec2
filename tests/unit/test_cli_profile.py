"""Profiles and comparisons as people read them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacedock.cli.commands.spaces import profile
from spacedock.cli.output import comparison as contest
from spacedock.cli.output.comparison import Contestant, measured_as, show_contest
from spacedock.cli.output.units import BLOCKS, PLAIN, ago, sparkline, took
from spacedock.prepare import prepare
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
    Timings,
)
from spacedock.states import JobState

IMAGE: dict[str, Any] = {
    "space": "mood",
    "digest": "sha256:0123456789abcdef",
    "runs": 4,
    "succeeded": 3,
    "success_rate": 0.75,
    "starts": 1,
    "start_p50": 4.0,
    "start_max": 4.0,
    "call_p50": 0.012,
    "call_p95": 1.5,
    "peak_memory": 200_000_000,
    "memory_limit": 400_000_000,
    "errors": {"timeout": 1},
    "last": 0.0,
    "calls": [{"at": 1.0, "ok": ok, "seconds": 1.0} for ok in (True, False)],
}


@given(st.lists(st.none() | st.floats(0, 1e9), max_size=80), st.sampled_from(["utf-8", "ascii", None, "no"]))
def test_a_sparkline_has_a_character_for_each_value(values, encoding) -> None:
    line = sparkline(values, encoding)
    bars = BLOCKS if encoding == "utf-8" else PLAIN
    assert len(line) == len(values)
    assert set(line) <= {*bars, "x"}
    assert [mark == "x" for mark in line] == [value is None for value in values]
    numbers = [value for value in values if value is not None]
    if numbers and max(numbers) > 0:
        assert line[values.index(max(numbers))] == bars[-1]


def test_a_terminal_without_blocks_gets_plain_bars() -> None:
    assert sparkline([0.0, 0.5, 1.0, None], "utf-8") == "▁▅█x"
    assert sparkline([0.0, 0.5, 1.0, None], "latin-1") == "_=#x"
    assert sparkline([0.0, 0.0], "ascii") == "__"


def test_times_are_told_as_people_say_them() -> None:
    assert [took(s) for s in (None, 0.0042, 0.25, 2.0, 75.0)] == [
        "-",
        "4.2 ms",
        "250 ms",
        "2.0 s",
        "1 min 15 s",
    ]
    assert [ago(s) for s in (-1, 59, 61, 7300, 200_000)] == [
        "just now",
        "just now",
        "1 min ago",
        "2 h ago",
        "2 d ago",
    ]


def test_a_profile_is_told_line_by_line_and_its_advice_beside_it(capsys) -> None:
    found = {"images": [{**IMAGE, "last": time.time() - 7300}], "advice": ["raise `memory`\x1b[2J"]}
    profile._show("mood", found)
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "mood",
        "  image sha256:0123456789ab, last run 2 h ago",
        "    runs        4, 75% succeeded",
        "    cold start  p50 4.0 s, longest 4.0 s (once)",
        "    call        p50 12.0 ms, p95 1.5 s",
        "    memory      191 MB of 381 MB at most (50%)",
        "    errors      1 timeout",
        "    last calls  █x  (x: failed)",
    ]
    assert err == "advice: raise `memory`\ufffd[2J\n"


def test_a_space_that_never_ran_says_what_to_do(capsys) -> None:
    profile._show("mood", {"images": [], "advice": []})
    out, err = capsys.readouterr()
    assert out == ""
    assert "`spacedock spaces bench mood --prompt" in err


def test_of_all_profiles_each_is_a_line(capsys) -> None:
    bare = dict.fromkeys(("start_p50", "call_p50", "call_p95", "peak_memory"))
    profile._table({"b": {"images": [IMAGE]}, "a": {"images": [{**IMAGE, **bare}]}})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if " 75% " in line] == ["a", "b"]


def answered(call: float, start: float = 0.0, text: str = "glad") -> JobResult:
    by = AnsweredBy(tier=Tier.HEAVY, kind=AnswerKind.SPACE, name="mood", image_digest="sha256:a")
    times = Timings(start=start, call=call, total=start + call)
    output = Output(text=text)
    return JobResult(id="1", state=JobState.SUCCEEDED, answered_by=by, output=output, timings=times)


def failed(message: str = "no") -> JobResult:
    error = AttemptError(kind=ErrorKind.APP_ERROR, message=message)
    attempt = Attempt(tier=Tier.HEAVY, name="mood", stage=Stage.CALL, error=error)
    return JobResult(id="1", state=JobState.FAILED, attempts=(attempt,))


def test_a_contestant_is_told_by_its_successes() -> None:
    one = Contestant("mood", "mood")
    for result in (answered(0.5, start=3.0), answered(0.25), failed(), answered(0.25)):
        one.add(result)
    row = one.row()
    assert (row["succeeded"], row["failed"], row["cold_start"]) == (3, 1, 3.0)
    assert (row["min"], row["p50"], row["p95"]) == (0.25, 0.25, 0.5)
    assert row["jobs_per_second"] == pytest.approx(3.0)
    assert (row["image_digest"], row["answer"]) == ("sha256:a", "glad")
    assert row["error"] == {"kind": "app_error", "message": "no"}


def test_an_answer_is_told_by_its_beginning_on_one_line() -> None:
    one = Contestant("mood", "mood")
    one.add(answered(1.0, text="first\nsecond " + "x" * 500))
    assert one.answer is not None
    assert len(one.answer) == contest._BEGINNING
    assert one.answer.startswith("first second xxx")


def test_spaces_are_shown_side_by_side_with_their_errors(capsys) -> None:
    good, bad = Contestant("mood", "mood", peak_memory=10_000_000), Contestant("./broken/", "./broken")
    good.add(answered(0.5, start=3.0))
    for _ in range(3):
        bad.add(failed("out of coffee\x1b[2J"))
    show_contest([good, bad], 5)
    out, err = capsys.readouterr()
    assert [" ".join(line.split()) for line in out.splitlines()[2:] if line.strip()] == [
        "mood 1/1 3.0 s 500 ms 500 ms 500 ms 2.0 10 MB",
        "./broken/ 0/3 - - - - - -",
        "mood: glad",
    ]
    assert err == "./broken/: 3 failed; 2 more were not tried: app_error: out of coffee\ufffd[2J\n"


def test_a_space_that_a_job_brings_along_has_a_profile_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "app.py").write_text("print()")
    names = [f"{tmp_path}/broken/", "mood", "user/space"]
    requests = [prepare("hello", (), name, {})[0] for name in names]
    assert requests[0].repository is not None
    own = f"./broken@{requests[0].repository.sha256[:12]}"
    assert [measured_as(request) for request in requests] == [own, "mood", "user/space"]
