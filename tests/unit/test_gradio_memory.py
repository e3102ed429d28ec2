"""What is remembered for an image: the endpoint for each shape of a call, and the way past the queue."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.gradio_apps import app_of, file, page

from spacedock_worker.adapters.base import AppCall
from spacedock_worker.adapters.gradio.description import App, describe
from spacedock_worker.adapters.gradio.direct import LearnedEndpoints, has_no_queue, may_be_direct, says_enough
from spacedock_worker.errors import StepError

WORK = {"api_name": "work", "inputs": [1], "outputs": [1]}
COUNT = {"api_name": "count", "inputs": [2], "outputs": [1]}
TEXT_AND_NUMBER = {"Prompt": "textbox", "Number": "number"}


def two() -> App:
    return page(WORK, COUNT, **TEXT_AND_NUMBER)


def test_calls_of_one_shape_go_to_one_endpoint() -> None:
    memory, app = LearnedEndpoints(), two()
    assert memory.choose(app.endpoints, AppCall("a")).endpoint.name == "/work"
    # A better endpoint that came later is not weighed: the image is the same, so it cannot be there.
    better = page(WORK, COUNT, WORK | {"api_name": "translate"}, **TEXT_AND_NUMBER)
    assert memory.choose(better.endpoints, AppCall("b")).endpoint.name == "/work"
    assert LearnedEndpoints().choose(better.endpoints, AppCall("b")).endpoint.name == "/translate"


@pytest.mark.parametrize(
    "other",
    [
        AppCall("", inputs={"Number": 3}),
        AppCall("a", endpoint="/count"),
        AppCall("", (file("a.png"),)),
        AppCall("a", (file("a.png"),)),
        AppCall("a", inputs={"Prompt": "x"}),
    ],
)
def test_a_call_of_another_shape_is_weighed_anew(other: AppCall) -> None:
    app = page(WORK, COUNT, WORK | {"api_name": "see", "inputs": [3]}, **TEXT_AND_NUMBER, Picture="image")
    memory = LearnedEndpoints()
    memory.choose(app.endpoints, AppCall("a"))
    try:
        fresh: str | None = LearnedEndpoints().choose(app.endpoints, other).endpoint.name
    except StepError:
        fresh = None
    try:
        known: str | None = memory.choose(app.endpoints, other).endpoint.name
    except StepError:
        known = None
    assert known == fresh


def test_files_of_another_type_are_another_shape() -> None:
    app = app_of("media", "6.31.0")
    memory = LearnedEndpoints()
    clip, paper = AppCall("", (file("a.mp4"),)), AppCall("", (file("a.pdf"),), endpoint="/read")
    assert memory.choose(app.endpoints, clip).endpoint.name == "/watch"
    assert memory.choose(app.endpoints, paper).endpoint.name == "/read"
    assert memory.choose(app.endpoints, clip).endpoint.name == "/watch"


def test_values_that_do_not_fit_the_known_endpoint_go_to_another() -> None:
    app = page(
        COUNT | {"api_name": "translate"},
        WORK | {"api_name": "other"},
        Prompt="textbox",
        Number="number",
    )
    memory = LearnedEndpoints()
    only_number = page(COUNT | {"api_name": "translate"}, **TEXT_AND_NUMBER)
    assert memory.choose(only_number.endpoints, AppCall("7")).endpoint.name == "/translate"
    assert memory.choose(app.endpoints, AppCall("seven")).endpoint.name == "/other"
    assert memory.choose(app.endpoints, AppCall("eight")).endpoint.name == "/other"


def test_an_endpoint_that_is_gone_is_forgotten() -> None:
    memory = LearnedEndpoints()
    memory.choose(two().endpoints, AppCall("a"))
    renamed = page(WORK | {"api_name": "new"}, **TEXT_AND_NUMBER)
    assert memory.choose(renamed.endpoints, AppCall("b")).endpoint.name == "/new"


def test_the_slots_are_those_of_the_present_page() -> None:
    memory = LearnedEndpoints()
    memory.choose(two().endpoints, AppCall("a"))
    wider = page(WORK | {"inputs": [3, 1]}, **TEXT_AND_NUMBER, State="state")
    assert memory.choose(wider.endpoints, AppCall("b")).filling.data == (None, "b")


def test_the_data_is_always_that_of_the_call() -> None:
    memory, app = LearnedEndpoints(), two()
    assert [memory.choose(app.endpoints, AppCall(word)).filling.data for word in "ab"] == [("a",), ("b",)]


def test_a_call_that_fits_nothing_fails_each_time_and_is_not_remembered() -> None:
    memory, app = LearnedEndpoints(), two()
    for _ in range(2):
        with pytest.raises(StepError):
            memory.choose(app.endpoints, AppCall("", (file("a.png"),)))


def test_shapes_are_remembered_up_to_a_bound() -> None:
    memory, app = LearnedEndpoints(), page(WORK, Paper="file", Text="textbox")
    for number in range(300):
        memory.choose(app.endpoints, AppCall("", (file(f"a.{number}"),)))
    assert len(memory._chosen) == 256


def app_and_function(protocol: str, queued: bool = True, **event: Any) -> tuple[App, Any]:
    told = {"protocol": protocol, "enable_queue": queued, "dependencies": [{"api_name": "go"} | event]}
    app = describe(told, None)
    return app, app.functions["/go"]


@pytest.mark.parametrize(
    ("protocol", "queued", "event", "unqueued"),
    [
        ("ws", True, {}, False),
        ("ws", True, {"queue": None}, False),
        ("ws", True, {"queue": True}, False),
        ("ws", True, {"queue": False}, True),
        ("ws", False, {}, True),
        ("ws", False, {"types": {"generator": True}}, False),
        ("sse", False, {}, False),
        ("sse_v3", True, {"queue": False}, False),
        ("sse_v3", True, {"batch": True}, True),
        ("ws", True, {"batch": True}, True),
    ],
)
def test_what_must_go_past_the_queue(
    protocol: str, queued: bool, event: dict[str, Any], unqueued: bool
) -> None:
    app, function = app_and_function(protocol, queued, **event)
    assert has_no_queue(app, function) is unqueued
    assert not (unqueued and may_be_direct(app, function, 0.0))


@pytest.mark.parametrize(
    ("event", "seconds", "may"),
    [
        ({}, 0.01, True),
        ({}, 1.0, True),
        ({}, 1.01, False),
        ({"types": {"generator": True}}, 0.01, False),
        ({"types": {"continuous": True}}, 0.01, False),
        ({"types": {"generator": False, "continuous": False}}, 0.01, True),
    ],
)
def test_what_is_worth_comparing(event: dict[str, Any], seconds: float, may: bool) -> None:
    assert may_be_direct(*app_and_function("sse_v3", **event), seconds) is may


@pytest.mark.parametrize(
    ("data", "enough"),
    [
        (["a"], True),
        ([0], True),
        ([False], True),
        (["a", 1], True),
        ([""], False),
        ([None], False),
        ([[]], False),
        ([{}], False),
        (["a", None], False),
    ],
)
def test_only_an_answer_that_says_something_proves_anything(data: list[Any], enough: bool) -> None:
    assert says_enough(data) is enough
