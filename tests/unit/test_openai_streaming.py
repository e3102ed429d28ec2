"""What is new in an answer that grows, as its events tell only its last 1,000 characters."""

from __future__ import annotations

import pytest

from spacedockd.http.openai.streaming import GrowingText

LONG = "".join(f"{number:05d}" for number in range(1000))


def sent(partials: list[str], whole: str) -> str:
    text = GrowingText()
    return "".join(text.grown(partial) for partial in partials) + text.rest(whole)


@pytest.mark.parametrize("step", [1, 7, 400, 999])
def test_an_answer_that_only_grows_comes_whole(step: int) -> None:
    ends = [LONG[:size][-1000:] for size in range(step, len(LONG), step)]
    assert sent(ends, LONG) == LONG


def test_what_was_missed_comes_at_the_end() -> None:
    assert sent([LONG[:900], LONG[2000:3000], LONG[4000:]], LONG) == LONG


@pytest.mark.parametrize("partials", [["Hm", "Hello"], ["Hm"], ["Hello", "He"]])
def test_an_answer_that_was_written_anew_follows_whole(partials: list[str]) -> None:
    text = GrowingText()
    begun = "".join(text.grown(partial) for partial in partials)
    assert begun + text.rest("Hi all") == f"{partials[0]}\n\nHi all"


def test_an_answer_that_no_event_told_comes_at_the_end() -> None:
    assert sent([], "Hello") == "Hello"
