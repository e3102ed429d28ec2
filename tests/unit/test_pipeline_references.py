"""What the steps of a pipeline ask for, by what earlier steps gave."""

from __future__ import annotations

from contextlib import suppress
from functools import reduce
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from spacedock.errors import BadRequestError
from spacedock.files import FileRef, payload_of
from spacedock.pipelines.model import Pipeline, Step, StepOutcome
from spacedock.pipelines.references import NestedRun, needs, outputs_of, resolve
from spacedock.request import JobRequest
from spacedock.result import Output


def file(name: str) -> FileRef:
    return payload_of(name, name.encode()).ref


def gave(*outputs: Output | None, fanned: bool = False) -> StepOutcome:
    return StepOutcome(outputs=outputs, fanned=fanned)


DONE = {
    "one": gave(
        Output(text="eins", data={"lines": ["a", "b"], "a/b": 1, "the key": 2}, files=(file("x.png"),))
    ),
    "many": gave(Output(text="p", data={"n": 1}), None, Output(text="q", data={"n": 2}), fanned=True),
    "skipped": gave(None),
}


HOSTILE: dict[str, Any] = {
    "empty": " ",
    "many": [0] * 10_001,
    "some": [0] * 200,
    "long": "x" * 2**19,
    "deep": reduce(lambda inner, _: [inner], range(3000), []),
}


def asked(step: Step, **inputs: Any) -> JobRequest:
    (call,) = resolve(step, inputs, DONE).calls
    assert isinstance(call, JobRequest)
    return call


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        ("plain", "plain"),
        ("say ${{ steps.one.text }}!", "say eins!"),
        ("${{inputs.who}}", "you"),
        ("${{ steps.one.data#/lines/1 }}", "b"),
        ("${{ steps.one.data#/a~1b }}", "1"),
        ("${{ steps.one.data#/the%20key }}", "2"),
        ("${{ steps.one.data#/lines }}", "a\nb"),
        ("${{ steps.many.text }}", "p\nq"),
        ("${{ steps.many.data#/n }}", "[1, 2]"),
        ("${{ steps.skipped.text || steps.one.text }}", "eins"),
    ],
)
def test_a_prompt_has_what_it_looks_up(text: str, prompt: str) -> None:
    assert asked(Step(space="s", prompt=text), who="you").prompt == prompt


def test_inputs_keep_their_types_and_files_go_along() -> None:
    step = Step(space="s", inputs={"n": "${{ steps.many.data#/n }}", "image": "${{ inputs.photo }}"})
    request = asked(step, photo=file("a.png"))
    assert request.inputs == {"n": [1, 2], "image": "a.png"}
    assert request.files == (file("a.png"),)


def test_files_of_inputs_and_steps_come_in_order_and_once() -> None:
    step = Step(
        space="s", files=("${{ inputs.photos }}", "${{ steps.one.files }}", "${{ inputs.photos#/0 }}")
    )
    request = asked(step, photos=(file("a.png"), file("b.png")))
    assert [one.name for one in request.files] == ["a.png", "b.png", "x.png"]


def test_a_step_has_a_call_for_each_item() -> None:
    step = Step(tier="fast", for_each="${{ inputs.rows }}", prompt="${{ item.name }}", when="item.age >= 18")
    calls = resolve(step, {"rows": [{"name": "A", "age": "20"}, {"name": "B", "age": "9"}]}, {})
    assert calls.fanned
    assert [call.prompt if isinstance(call, JobRequest) else call for call in calls.calls] == ["A", None]


def test_what_takes_from_a_skipped_step_is_skipped() -> None:
    for step in (
        Step(space="s", prompt="${{ steps.skipped.text }}"),
        Step(space="s", prompt="${{ item }}", for_each="${{ steps.skipped.files }}"),
    ):
        calls = resolve(step, {}, DONE)
        assert (calls.calls, calls.fanned) == ((None,), False)


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ("inputs.lang == 'German'", True),
        ("${{ inputs.lang }} != 'German'", False),
        ("${{ inputs.lang == 'German' }}", True),
        ("steps.one.text contains 'ein'", True),
        ("steps.one.text not contains 'ein'", False),
        ("steps.one.data#/lines contains 'b'", True),
        ("steps.one.files is empty", False),
        ("steps.skipped.text is empty", True),
        ("inputs.lang is not empty", True),
        ("inputs.score > 0.5 and inputs.score <= 0.9", True),
        ("inputs.score > 1 or inputs.score < 0 or inputs.lang == 'German'", True),
        ("inputs.score == 0.70", True),
        ("steps.one.data#/a~1b == true", False),
    ],
)
def test_a_condition_decides_whether_a_step_runs(when: str, holds: bool) -> None:
    (call,) = resolve(Step(space="s", prompt="x", when=when), {"lang": "German", "score": "0.7"}, DONE).calls
    assert (call is not None) is holds


def test_a_step_that_is_skipped_for_all_its_items_is_skipped_as_a_whole() -> None:
    each = {"space": "s", "for_each": ["a", "b"]}
    for more in ({"prompt": "x", "when": "inputs.go == 'yes'"}, {"prompt": "${{ steps.skipped.text }}"}):
        calls = resolve(Step.model_validate(each | more), {"go": "no"}, DONE)
        assert (calls.calls, calls.fanned) == ((None,), False)


def test_the_name_of_a_file_is_looked_up_by_a_pointer() -> None:
    assert asked(Step(space="s", prompt="${{ inputs.photo#/name }}"), photo=file("a.png")).prompt == "a.png"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
OPERATORS = ("==", "!=", "<", "<=", ">", ">=", "contains", "not contains")


@drawn(JSON, JSON, st.sampled_from(OPERATORS))
def test_any_values_can_be_compared_or_fail_the_step(left: Any, right: Any, operator: str) -> None:
    compare = Step(space="s", prompt="${{ inputs.l }}", when=f"inputs.l {operator} inputs.r")
    for step in (
        compare,
        Step(space="s", prompt="x", when="inputs.l is empty", inputs={"x": "${{ inputs.r#/0 }}"}),
    ):
        with suppress(BadRequestError):
            resolve(step, {"l": left, "r": right}, {})


def test_a_nested_pipeline_is_given_its_inputs() -> None:
    inner = Pipeline(
        name="inner", inputs={"t": "text"}, steps={"a": Step(space="s", prompt="${{ inputs.t }}")}
    )
    step = Step(pipeline=inner, inputs={"t": "${{ item }}"}, for_each="${{ steps.many.text }}")
    assert resolve(step, {}, DONE).calls == (NestedRun(inner, {"t": "p"}), NestedRun(inner, {"t": "q"}))


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (Step(space="s", prompt="${{ steps.one.data#/none }}"), "#/none leads nowhere"),
        (Step(space="s", prompt="${{ steps.one.data#/lines/07 }}"), "no '07' in a list"),
        (Step(space="s", prompt="see ${{ steps.one.files }}"), "a file cannot be part of a text"),
        (Step(space="s", files="${{ steps.one.files#/1 }}"), "no '1' in a list"),
        (Step(space="s", prompt="x", when="steps.one.files > 1"), "compares numbers, and there is a list"),
        (
            Step(space="s", prompt="${{ item }}", for_each="${{ steps.one.text }}"),
            "needs a list, and there is a text",
        ),
        (Step(space="s", prompt="x", when="steps.one.text > 1"), "compares numbers, and there is a text"),
        (Step(tier="fast", prompt="${{ inputs.empty }}"), "the prompt is empty"),
        (Step(space="s", prompt="x", for_each="${{ inputs.many }}"), "for_each has 10,001 items"),
        (Step(space="s", prompt="${{ inputs.long }}", for_each="${{ inputs.some }}"), "over 64 MB together"),
        (Step(space="s", inputs={"x": "${{ inputs.deep }}"}), "nested too deeply"),
        (Step(space="s", prompt="${{ inputs.some#/99999999999999999999 }}"), "leads nowhere"),
    ],
)
def test_a_value_that_does_not_fit_fails_the_step(step: Step, words: str) -> None:
    with pytest.raises(BadRequestError, match=words):
        resolve(step, HOSTILE, DONE)


def test_a_step_needs_what_it_takes_from_anywhere() -> None:
    step = Step(
        space="s",
        prompt="${{ steps.a.text || steps.b.text }}",
        inputs={"x": [{"y": "${{ steps.c.data }}"}]},
        files="${{ steps.d.files }}",
        for_each="${{ steps.e.text }}",
        when="steps.f.text is empty",
    )
    assert needs(step) == {*"abcdef"}


def test_a_pipeline_gives_its_outputs() -> None:
    steps = {name: Step(space="s", prompt="x") for name in DONE}
    outputs = {
        "word": "${{ steps.one.text }}",
        "pic": "${{ steps.one.files#/0 }}",
        "none": "${{ steps.skipped.text }}",
    }
    given = outputs_of(Pipeline(name="p", steps=steps, outputs=outputs), {}, DONE)
    assert (given.text, given.files) == ("eins", (file("x.png"),))
    assert given.data == {"word": "eins", "pic": file("x.png").model_dump(mode="json"), "none": None}


def test_a_pipeline_without_outputs_gives_what_nothing_takes() -> None:
    steps = {"many": Step(space="s", prompt="x"), "one": Step(space="s", prompt="${{ steps.many.text }}")}
    given = outputs_of(Pipeline(name="p", steps=steps), {}, DONE)
    assert (given.text, given.data, given.files) == ("eins", {"one": "eins"}, (file("x.png"),))


def test_inputs_come_back_from_json_as_they_were() -> None:
    pipeline = Pipeline(
        name="p",
        inputs={"f": "files", "l": {"type": "list", "default": [1]}, "t": "text", "j": "json"},
        steps={"a": Step(space="s", prompt="x")},
    )
    given = pipeline.given({"f": [file("a.png")], "t": "x"})
    assert given == {"f": (file("a.png"),), "l": [1], "t": "x", "j": None}
    assert Pipeline.model_validate_json(pipeline.model_dump_json()) == pipeline
    assert pipeline.given({**given, "f": [one.model_dump() for one in given["f"]]}) == given


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"x": "1"}, "no input 'x'; its inputs: t, l"),
        ({}, r"needs the input 't' \(text\)"),
        ({"t": 5}, "is no text"),
        ({"t": "x", "l": [1] * 10_001}, "input 'l' of pipeline p has 10,001 items: at most 10,000 will do"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(values: dict[str, Any], words: str) -> None:
    inputs = {"t": "text", "l": {"type": "list", "default": []}}
    pipeline = Pipeline(name="p", inputs=inputs, steps={"a": Step(space="s", prompt="x")})
    with pytest.raises(BadRequestError, match=words):
        pipeline.given(values)
