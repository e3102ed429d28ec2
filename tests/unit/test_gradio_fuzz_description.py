"""Whatever an app says about itself: an app that can be asked, or a StepError; nothing else, and soon."""

from __future__ import annotations

import copy
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.gradio_apps import every, file, recorded
from tests.unit.gradio_json import JSON, TEXTS, fuzz

from spacedock_worker.adapters.base import AppCall
from spacedock_worker.adapters.binding.choose import choose
from spacedock_worker.adapters.binding.explain import explained
from spacedock_worker.adapters.gradio.description import App, describe
from spacedock_worker.errors import StepError

SEEDS = [recorded(*one) for one in every()[::3]]
CALLS = (
    AppCall("hi"),
    AppCall("", (file("a.png"),)),
    AppCall("hi", (file("a.txt"), file("b")), {"Text": "x", "n": 3}),
)


def described(config: object, info: object) -> App | None:
    try:
        return describe(config, info)
    except StepError:
        return None


def use(app: App) -> None:
    """Ask of an app whatever is asked without calling it."""
    for call in CALLS:
        explained(app.endpoints, call)
        with suppress(StepError):
            choose(app.endpoints, call)


@fuzz
@given(JSON, JSON)
def test_any_json_is_an_app_or_not(config: Any, info: Any) -> None:
    if app := described(config, info):
        use(app)


@fuzz
@given(st.lists(JSON, max_size=3), st.lists(st.dictionaries(TEXTS, JSON, max_size=5), max_size=3), JSON)
def test_any_components_and_events_are_an_app_or_not(components: Any, events: Any, props: Any) -> None:
    box = {"id": 1, "type": "textbox", "props": props if isinstance(props, dict) else {}}
    go = {"inputs": [1], "outputs": [1]}
    for config in (
        {"components": components, "dependencies": events},
        {"components": [box], "dependencies": [go | event for event in events]},
        {"components": [box | {"api_info": props}], "dependencies": [go]},
    ):
        if app := described(config, {"named_endpoints": props}):
            use(app)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value within a value."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in pairs for place in places(item, (*path, key)))]


PLACES = [places(seed)[1:] for seed in SEEDS]


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """A real description with some of its values replaced."""
    number = draw(st.integers(0, len(SEEDS) - 1))
    told = copy.deepcopy(SEEDS[number])
    for *way, last in draw(st.lists(st.sampled_from(PLACES[number]), min_size=1, max_size=4)):
        place = told
        try:
            for step in way:
                place = place[step]
            place[last] = draw(JSON)
        except (LookupError, TypeError):
            # An earlier mutation has taken that place away.
            continue
    return told


@settings(fuzz, max_examples=100)
@given(mutated())
def test_a_real_description_with_anything_in_it_is_an_app_or_not(told: Any) -> None:
    if app := described(told["config"], told["info"]):
        use(app)
