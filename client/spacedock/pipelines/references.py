"""From a pipeline's step to what it asks for: what it looks up is put in its place (pure)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from pydantic import ValidationError

from spacedock._wire.wire import describe
from spacedock.errors import BadRequestError
from spacedock.files import FileRef
from spacedock.pipelines.expressions import (
    Alternatives,
    Comparison,
    Lookup,
    condition,
    parsed,
    whole,
)
from spacedock.pipelines.model import MAX_FAN_OUT, Pipeline, Step, StepOutcome
from spacedock.request import JobRequest, Tier
from spacedock.result import Output

_SHOWN = 80


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


P = ParamSpec("P")
T = TypeVar("T")


def _bounded(work: Callable[P, T]) -> Callable[P, T]:
    """Raise BadRequestError for values that are nested too deeply to follow: apps are strangers."""

    @wraps(work)
    def bounded(*args: P.args, **named: P.kwargs) -> T:
        try:
            return work(*args, **named)
        except RecursionError:
            raise BadRequestError("a value is nested too deeply") from None

    return bounded


@_bounded
def resolve(step: Step, inputs: Mapping[str, Any], done: Mapping[str, StepOutcome]) -> StepCalls:
    """What the step asks for, once all that it needs is done; `inputs` are those of `Pipeline.given`.

    It is skipped where its condition does not hold, or what it takes from was skipped. Raises
    BadRequestError where a value is missing or of the wrong type: the step fails then.
    """
    scope = _Scope(inputs, done)
    if step.for_each is None:
        return StepCalls((_call(step, scope),))
    try:
        items = scope.value(step.for_each)
    except _AbsentError:
        return StepCalls((None,))
    if not isinstance(items, list | tuple):
        raise BadRequestError(f"for_each needs a list, and there is {_shown(items)}")
    if len(items) > MAX_FAN_OUT:
        raise BadRequestError(f"for_each has {len(items):,} items: at most {MAX_FAN_OUT:,} will do")
    return StepCalls(tuple(_call(step, replace(scope, item=item)) for item in items), fanned=True)


def last_of(pipeline: Pipeline) -> list[str]:
    """The names of the steps that no other step takes from."""
    taken = frozenset[str]().union(*(needs(step) for step in pipeline.steps.values()))
    return [name for name in pipeline.steps if name not in taken]


@_bounded
def outputs_of(pipeline: Pipeline, inputs: Mapping[str, Any], done: Mapping[str, StepOutcome]) -> Output:
    """What a pipeline gives: `data` by the outputs' names, `text` of the first text, `files` of them all.

    A pipeline without `outputs` gives what the steps gave that no other step takes from. Raises
    BadRequestError where a value is missing.
    """
    scope, asked, files = _Scope(inputs, done), dict(pipeline.outputs), list[FileRef]()
    if not asked:
        last = last_of(pipeline)
        asked = {name: f"${{{{ steps.{name}.text }}}}" for name in last}
        files = files_in([scope.value(f"${{{{ steps.{name}.files }}}}", None) for name in last])
    values = {name: scope.value(text, None) for name, text in asked.items()}
    text = next((_text(one) for one in values.values() if one is not None and not files_in(one)), None)
    return Output(text=text, data=_plain(values), files=(*files_in(values), *files))


_REQUIRED: Any = object()


@dataclass(frozen=True, slots=True)
class _Scope:
    """What can be looked up where a step stands."""

    inputs: Mapping[str, Any]
    done: Mapping[str, StepOutcome]
    item: Any = None

    def value(self, given: Any, absent: Any = _REQUIRED) -> Any:
        """The value with what it looks up in its place; a text that is one reference becomes that value.

        Where what it takes was skipped: `absent`, or _AbsentError.
        """
        try:
            return self._value(given)
        except _AbsentError:
            if absent is _REQUIRED:
                raise
            return absent

    def _value(self, given: Any) -> Any:
        if isinstance(given, str):
            if (one := whole(given)) is not None:
                return self._first(one)
            return "".join(p if isinstance(p, str) else _text(self._first(p)) for p in parsed(given))
        if isinstance(given, dict):
            return {name: self._value(one) for name, one in given.items()}
        return [self._value(one) for one in given] if isinstance(given, list | tuple) else given

    def _first(self, alternatives: Alternatives) -> Any:
        for one in alternatives:
            if one.root != "steps" or not self.done[one.name].is_absent:
                return self.look_up(one)
        raise _AbsentError

    def look_up(self, one: Lookup) -> Any:
        """A value; of a step with `for_each` the list of its items' values, of one that was skipped None."""
        if one.root == "inputs":
            return _pointed(self.inputs[one.name], one.pointer)
        if one.root == "item":
            return _pointed(self.item, one.pointer)
        outcome = self.done[one.name]
        if outcome.is_absent:
            return None
        values = [getattr(output, one.part) for output in outcome.outputs if output is not None]
        if one.part == "files":
            return _pointed([file for files in values for file in files], one.pointer)
        found = [_pointed(value, one.pointer) for value in values]
        return found if outcome.fanned else found[0]

    def holds(self, text: str) -> bool:
        """Whether a condition holds."""
        return any(all(self._test(test) for test in tests) for tests in condition(text))

    def _test(self, test: Comparison) -> bool:
        left, right = (
            self.look_up(side) if isinstance(side, Lookup) else side for side in (test.left, test.right)
        )
        return _compared(left, test.operator, right)


def _call(step: Step, scope: _Scope) -> JobRequest | NestedRun | None:
    try:
        if step.when is not None and not scope.holds(step.when):
            return None
        inputs = scope.value(step.inputs)
        if step.pipeline is not None:
            return NestedRun(step.pipeline, step.pipeline.given(inputs))
        files = (*files_in([scope.value(text) for text in step.files]), *files_in(inputs))
        fields = {
            "prompt": _text(scope.value(step.prompt)),
            "files": tuple(dict.fromkeys(files)),
            "inputs": _plain(inputs, file_names=True),
            "tier": step.tier or Tier.AUTO,
            **{name: getattr(step, name) for name in _AS_GIVEN},
        }
    except _AbsentError:
        return None
    try:
        return JobRequest(**fields)
    except ValidationError as error:
        raise BadRequestError(describe(error)) from None


_AS_GIVEN = ("space", "category", "endpoint", "timeout", "fallback", "privacy")


def _pointed(value: Any, pointer: tuple[str, ...]) -> Any:
    """What a JSON pointer leads to (RFC 6901)."""
    for token in pointer:
        if isinstance(value, dict) and token in value:
            value = value[token]
        elif (
            isinstance(value, list | tuple)
            and token.isascii()
            and token.isdecimal()
            and int(token) < len(value)
        ):
            value = value[int(token)]
        else:
            way = "/".join(pointer)[:_SHOWN]
            raise BadRequestError(
                f"the pointer #/{way} leads nowhere: no '{token[:_SHOWN]}' in {_shown(value)}"
            )
    return value


def _text(value: Any) -> str:
    """A value as part of a text: a list of texts a line each, anything else as JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    if files_in(value):
        raise BadRequestError("a file cannot be part of a text: hand it over by 'files'")
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return "\n".join(value)
    return json.dumps(value, ensure_ascii=False)


def files_in(value: Any) -> list[FileRef]:
    """Every file in a value, in order."""
    if isinstance(value, FileRef):
        return [value]
    if isinstance(value, dict | list | tuple):
        return [f for one in (value.values() if isinstance(value, dict) else value) for f in files_in(one)]
    return []


def _plain(value: Any, *, file_names: bool = False) -> Any:
    """The value as JSON; a file as its name, or as what names it."""
    if isinstance(value, FileRef):
        return value.name if file_names else value.model_dump(mode="json")
    if isinstance(value, dict):
        return {name: _plain(one, file_names=file_names) for name, one in value.items()}
    return [_plain(one, file_names=file_names) for one in value] if isinstance(value, list | tuple) else value


def _compared(left: Any, operator: str, right: Any) -> bool:
    if operator.endswith("empty"):
        return (_bare(left) in (None, "", [], {}, ())) is (operator == "is empty")
    if operator.endswith("contains"):
        return _contains(left, right) is (operator == "contains")
    if operator in ("==", "!="):
        numbers = _number(left), _number(right)
        alike = isinstance(left, bool) is isinstance(right, bool)
        equal = numbers[0] == numbers[1] if None not in numbers else alike and _bare(left) == _bare(right)
        return equal is (operator == "==")
    low, high = _number(left), _number(right)
    if low is None or high is None:
        raise BadRequestError(
            f"'{operator}' compares numbers, and there is {_shown(left if low is None else right)}"
        )
    return {"<": low < high, "<=": low <= high, ">": low > high, ">=": low >= high}[operator]


def _contains(left: Any, right: Any) -> bool:
    if isinstance(left, str):
        return _text(right) in left
    return isinstance(left, list | tuple | dict) and right in left


def _bare(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def _number(value: Any) -> float | None:
    """The number that a value is, or that a text says."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _shown(value: Any) -> str:
    """A value as far as a message may tell it: a text may be private."""
    kinds = ((str, "a text"), (dict, "an object"), ((list, tuple), "a list"), (FileRef, "a file"))
    return next((words for kind, words in kinds if isinstance(value, kind)), json.dumps(value))
