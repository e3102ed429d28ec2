"""Following one call through the queue's messages: progress, growing text, and whether the app is at work."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.gradio_calls import Heard
from tests.unit.gradio_script import DONE, FULL, STARTS, done, failed

from spacedock.result import ErrorKind
from spacedock_worker.adapters.gradio.events import (
    LIVELY_SECONDS,
    PARTIAL_CHARACTERS,
    PARTIAL_SECONDS,
    PROGRESS_CHARACTERS,
    AppQueueFullError,
    Follower,
)
from spacedock_worker.errors import StepError


class Clock:
    """A clock that stands still until it is moved."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def follower(*components: str | None, edits: bool = False) -> tuple[Follower, Heard, Clock]:
    heard, clock = Heard(), Clock()
    return Follower(heard, components or ("textbox",), edits, clock), heard, clock


def grows(*data: Any) -> dict[str, Any]:
    return {"msg": "process_generating", "output": {"data": list(data)}}


def test_the_outputs_come_with_the_end() -> None:
    call, _, _ = follower()
    assert call.hear(STARTS) is None
    assert call.hear(done("well", 2)) == ["well", 2]
    assert call.completed


def test_a_full_queue_is_its_own_error() -> None:
    with pytest.raises(AppQueueFullError):
        follower()[0].hear(FULL)


@pytest.mark.parametrize("message", [None, 3, "text", [], [DONE]])
def test_what_is_no_message_is_bad_output(message: object) -> None:
    with pytest.raises(StepError) as caught:
        follower()[0].hear(message)
    assert caught.value.kind is ErrorKind.BAD_OUTPUT


def test_a_failed_call_is_completed() -> None:
    call, _, _ = follower()
    call.hear(STARTS)
    with pytest.raises(StepError):
        call.hear(failed("no"))
    assert not call.at_work


@pytest.mark.parametrize(
    ("messages", "at_work"),
    [
        ([], False),
        ([{"msg": "estimation", "rank": 0}], False),
        ([STARTS], True),
        ([STARTS, {"msg": "heartbeat"}], True),
        ([STARTS, DONE], False),
    ],
)
def test_an_app_is_at_work_from_the_start_to_the_end(messages: list[Any], at_work: bool) -> None:
    call, _, _ = follower()
    for message in messages:
        call.hear(message)
    assert call.at_work is at_work


def test_an_app_that_stopped_is_not_at_work() -> None:
    call, _, _ = follower()
    call.hear(STARTS)
    call.stopped = True
    assert not call.at_work


def test_an_answer_is_lively_while_it_grows() -> None:
    call, _, clock = follower()
    assert not call.lively
    call.hear(grows("a"))
    assert call.lively
    clock.now += LIVELY_SECONDS
    assert not call.lively
    call.hear(grows("ab"))
    assert call.lively


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ({"msg": "estimation", "rank": 0}, ["queue position 1"]),
        ({"msg": "estimation", "rank": None}, []),
        ({"msg": "estimation", "rank": -1}, []),
        ({"msg": "estimation", "rank": 10**4299}, []),
        ({"msg": "estimation"}, []),
        (STARTS, ["running"]),
        ({"msg": "progress", "progress_data": [{"index": 1, "length": 3}]}, ["progress 1/3"]),
        ({"msg": "progress", "progress_data": [{"index": 10**4299, "length": 3, "desc": "d"}]}, ["d"]),
        ({"msg": "progress", "progress_data": [{"progress": 0.25, "desc": "half"}]}, ["half 25%"]),
        ({"msg": "progress", "progress_data": [{"progress": float("inf")}]}, ["progress inf%"]),
        ({"msg": "progress", "progress_data": [{"desc": "only"}]}, ["only"]),
        ({"msg": "progress", "progress_data": [{}]}, []),
        ({"msg": "progress", "progress_data": []}, []),
        ({"msg": "progress", "progress_data": None}, []),
        ({"msg": "progress", "progress_data": [{"desc": "a"}, {"desc": "b"}]}, ["b"]),
        ({"msg": "log", "log": "\x1b[31mred\u202e"}, ["[31mred"]),
        ({"msg": "log", "log": 3}, []),
        ({"msg": "log", "log": ""}, []),
    ],
)
def test_progress_is_told_in_words(message: dict[str, Any], told: list[str]) -> None:
    call, heard, _ = follower()
    call.hear(message)
    assert heard.messages == told


def test_long_progress_is_cut() -> None:
    call, heard, _ = follower()
    call.hear({"msg": "log", "log": "x" * 10_000})
    assert [len(message) for message in heard.messages] == [PROGRESS_CHARACTERS]


def test_growing_text_is_told_at_intervals() -> None:
    call, heard, clock = follower()
    for number in range(1, 11):
        call.hear(grows("x" * number))
        clock.now += 0.3 * PARTIAL_SECONDS
    assert [len(partial) for partial in heard.partials] == [1, 5, 9]
    assert set(heard.messages) == {"answering"}


def test_edits_build_up_even_where_they_are_not_told() -> None:
    call, heard, clock = follower(edits=True)
    call.hear(grows("a"))
    call.hear(grows([["append", [], "b"]]))
    clock.now += PARTIAL_SECONDS
    call.hear(grows([["append", [], "c"]]))
    assert heard.partials == ["a", "abc"]


def test_growth_stops_being_told_where_an_edit_does_not_fit_and_the_end_is_whole() -> None:
    call, heard, clock = follower(edits=True)
    for data in (["a"], [[["delete", [3], None]]], [[["append", [], "c"]]], ["whole", "more"]):
        call.hear(grows(*data))
        clock.now += 1
    assert heard.partials == ["a"]
    assert call.hear(done("abc")) == ["abc"]


@pytest.mark.parametrize("output", [None, [], "x", {}, {"data": None}, {"data": "x"}, {"data": {}}])
def test_growth_of_the_wrong_shape_is_left_out(output: object) -> None:
    call, heard, _ = follower()
    assert call.hear({"msg": "process_generating", "output": output}) is None
    assert heard.partials == []


def test_growth_of_another_number_of_outputs_tells_no_text() -> None:
    call, heard, _ = follower("textbox", "textbox")
    call.hear(grows("a"))
    assert (heard.messages, heard.partials) == (["answering"], [])


def test_only_the_end_of_a_long_text_is_told() -> None:
    call, heard, _ = follower()
    call.hear(grows("a" + "b" * PARTIAL_CHARACTERS))
    assert heard.partials == ["b" * PARTIAL_CHARACTERS]


def test_a_growing_chat_tells_its_last_words() -> None:
    call, heard, _ = follower("chatbot", None)
    call.hear(grows([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hel"}], {"s": 1}))
    assert heard.partials == ["hel"]


@pytest.mark.parametrize(
    "reason",
    [
        "Value: 'x' (type: <class 'str'>) is not in the list of choices: ['a', 'b']",
        "Value: x is not in the list of choices: ['a', 'b']",
        "Value 500 is greater than maximum value 120.",
        "Value -1 is less than minimum value 0.",
        "Invalid file type. Please upload a file that is one of these formats: ['.pdf']",
        "Audio is too long, and must be at most 10 seconds",
        "Data incompatible with messages format. Each message should be a dictionary",
    ],
)
def test_what_a_component_does_not_take_is_the_requests_fault(reason: str) -> None:
    with pytest.raises(StepError) as caught:
        follower()[0].hear(failed(reason))
    assert caught.value.kind is ErrorKind.BAD_INPUT
    assert str(caught.value) == reason


@pytest.mark.parametrize("reason", ["The value is greater than I can bear", "no"])
def test_other_reasons_are_the_apps_own(reason: str) -> None:
    with pytest.raises(StepError) as caught:
        follower()[0].hear(failed(reason))
    assert caught.value.kind is ErrorKind.APP_ERROR
