"""From a pipeline's step to what it asks for: what it looks up is put in its place (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from spacedock._wire.wire import describe
from spacedock.errors import BadRequestError
from spacedock.files import FileRef
from spacedock.pipelines.expressions import (
    Alternatives,
    Comparison,
    Lookup,
    condition,
    looked_up_in,
    parsed,
    whole,
)
from spacedock.pipelines.model import MAX_FAN_OUT, Pipeline, Step, StepOutcome
from spacedock.pipelines.values import compared, files_in, plain, pointed, shown, text_of
from spacedock.request import JobRequest, Tier
from spacedock.result import Output

_AS_GIVEN = ("space", "category", "endpoint", "timeout", "fallback", "privacy")
_MOST_CHARS = 64 * 2**20
_TOO_DEEP = "a value is nested too deeply"


@dataclass(frozen=True, slots=True)
class NestedRun:
    """A pipeline that a step runs, with its inputs."""

    pipeline: Pipeline
    inputs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StepCalls:
    """What a step asks for: one call for each item, None where that is skipped.

    A step that is skipped as a whole has one call, None, and is not `fanned`.
    """

    calls: tuple[JobRequest | NestedRun | None, ...]
    fanned: bool = False


class _AbsentError(Exception):
    """What is looked up was skipped."""


def needs(step: Step) -> frozenset[str]:
    """The names of the steps whose outcomes the step takes."""
    return frozenset(one.name for _, one in step.looked_up if one.root == "steps")


def resolve(step: Step, inputs: Mapping[str, Any], done: Mapping[str, StepOutcome]) -> StepCalls:
    """What the step asks for, once all that it needs is done; `inputs` are those of `Pipeline.given`.

    It is skipped where its condition does not hold, or what it takes from was skipped. Raises
    BadRequestError where a value is missing or of the wrong type: the step fails then.
    """
    scope = _Scope(inputs, done)
    try:
        if step.when is not None and not _has_item(step.when) and not scope.holds(step.when):
            return StepCalls((None,))
        if step.for_each is None:
            return StepCalls((_call(step, scope),))
        return StepCalls(tuple(_calls(step, scope)), fanned=True)
    except _AbsentError:
        return StepCalls((None,))
    except RecursionError:
        raise BadRequestError(_TOO_DEEP) from None


def _has_item(when: str) -> bool:
    return any(one.root == "item" for one in looked_up_in(when))


def _calls(step: Step, scope: _Scope) -> Iterator[JobRequest | NestedRun | None]:
    items = scope.value(step.for_each)
    if not isinstance(items, list | tuple):
        raise BadRequestError(f"for_each needs a list, and there is {shown(items)}")
    if len(items) > MAX_FAN_OUT:
        raise BadRequestError(f"for_each has {len(items):,} items: at most {MAX_FAN_OUT:,} will do")
    size = 0
    for item in items:
        own = replace(scope, item=item)
        call = _call(step, own) if step.when is None or own.holds(step.when) else None
        size += len(str(call.inputs)) + len(getattr(call, "prompt", "")) if call is not None else 0
        # Each item may take the whole value.
        if size > _MOST_CHARS:
            raise BadRequestError(f"its prompts and inputs have over {_MOST_CHARS // 2**20} MB together")
        yield call


def last_of(pipeline: Pipeline) -> list[str]:
    """The names of the steps that no other step takes from."""
    taken = frozenset[str]().union(*(needs(step) for step in pipeline.steps.values()))
    return [name for name in pipeline.steps if name not in taken]


def outputs_of(pipeline: Pipeline, inputs: Mapping[str, Any], done: Mapping[str, StepOutcome]) -> Output:
    """What a pipeline gives: `data` by the outputs' names, `text` of the first text, `files` of them all.

    A pipeline without `outputs` gives what the steps gave that no other step takes from. Raises
    BadRequestError where a value is missing.
    """
    scope, asked, files = _Scope(inputs, done), pipeline.outputs, list[FileRef]()
    if not asked:
        last = last_of(pipeline)
        asked = {name: f"${{{{ steps.{name}.text }}}}" for name in last}
        files = [file for name in last for file in scope.look_up(Lookup("steps", name, "files")) or ()]
    try:
        values = {name: scope.value_or_none(text) for name, text in asked.items()}
        text = next((text_of(one) for one in values.values() if one is not None and not files_in(one)), None)
        return Output(text=text, data=plain(values), files=(*files_in(values), *files))
    except RecursionError:
        raise BadRequestError(_TOO_DEEP) from None


@dataclass(frozen=True, slots=True)
class _Scope:
    """What can be looked up where a step stands."""

    inputs: Mapping[str, Any]
    done: Mapping[str, StepOutcome]
    item: Any = None
    known: dict[Lookup, Any] = field(default_factory=dict)

    def value_or_none(self, text: str) -> Any:
        """The value of a text; None where what it takes was skipped."""
        try:
            return self.value(text)
        except _AbsentError:
            return None

    def value(self, given: Any) -> Any:
        """The value with what it looks up in its place; a text that is one reference becomes that value.

        Raises _AbsentError where what it takes was skipped.
        """
        if isinstance(given, str):
            if (one := whole(given)) is not None:
                return self._first(one)
            return "".join(p if isinstance(p, str) else text_of(self._first(p)) for p in parsed(given))
        if isinstance(given, dict):
            return {name: self.value(one) for name, one in given.items()}
        return [self.value(one) for one in given] if isinstance(given, list | tuple) else given

    def _first(self, alternatives: Alternatives) -> Any:
        for one in alternatives:
            if one.root != "steps" or not self.done[one.name].is_absent:
                return self.look_up(one)
        raise _AbsentError

    def look_up(self, one: Lookup) -> Any:
        """A value; the list of its items' values for a step with `for_each`, None for a skipped step."""
        if one.root == "inputs":
            return pointed(self.inputs[one.name], one.pointer)
        if one.root == "item":
            return pointed(self.item, one.pointer)
        if one not in self.known:
            self.known[one] = _of_step(self.done[one.name], one)
        return self.known[one]

    def holds(self, text: str) -> bool:
        """Whether a condition holds."""
        return any(all(self._test(test) for test in tests) for tests in condition(text))

    def _test(self, test: Comparison) -> bool:
        left, right = (
            self.look_up(side) if isinstance(side, Lookup) else side for side in (test.left, test.right)
        )
        return compared(left, test.operator, right)


def _of_step(outcome: StepOutcome, one: Lookup) -> Any:
    if outcome.is_absent:
        return None
    values = [getattr(output, one.part) for output in outcome.outputs if output is not None]
    if one.part == "files":
        return pointed([file for files in values for file in files], one.pointer)
    found = [pointed(value, one.pointer) for value in values]
    return found if outcome.fanned else found[0]


def _call(step: Step, scope: _Scope) -> JobRequest | NestedRun:
    inputs = scope.value(step.inputs)
    if step.pipeline is not None:
        return NestedRun(step.pipeline, step.pipeline.given(inputs))
    files = (*files_in([scope.value(text) for text in step.files]), *files_in(inputs))
    try:
        return JobRequest(
            prompt=text_of(scope.value(step.prompt)),
            files=tuple(dict.fromkeys(files)),
            inputs=plain(inputs, file_names=True),
            tier=step.tier or Tier.AUTO,
            **{name: getattr(step, name) for name in _AS_GIVEN},
        )
    except ValidationError as error:
        raise BadRequestError(describe(error)) from None
