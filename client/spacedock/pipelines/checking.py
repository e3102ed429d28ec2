"""What is wrong with a pipeline, as far as it can be seen before it runs (pure)."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from itertools import islice
from typing import NamedTuple

from spacedock.errors import BadRequestError
from spacedock.pipelines.expressions import Lookup, lookups, whole
from spacedock.pipelines.model import MAX_STEPS, InputType, Pipeline, Step
from spacedock.pipelines.references import needs

_SHOWN_NAMES, _MOST_TOLD = 12, 20
_WORDS = {
    "text": "a text",
    "file": "a file",
    "files": "files",
    "texts": "a list of texts",
    "rows": "rows of a table",
    "list": "a list",
}
_KINDS = {InputType.CSV: "rows", InputType.JSON: "any"}
_TAKEN = {
    "prompt": {"text", "texts", "rows", "list", "any"},
    "files": {"file", "files", "list", "any"},
    "for_each": {"files", "texts", "rows", "list", "any"},
    InputType.TEXT: {"text", "any"},
    InputType.FILE: {"file", "any"},
    InputType.FILES: {"file", "files", "any"},
    InputType.LIST: {"files", "texts", "rows", "list", "any"},
    InputType.CSV: {"rows", "list", "any"},
    InputType.JSON: {"text", "texts", "rows", "list", "any"},
}
_REMEDIES = {
    "prompt": "hand it over by 'files'",
    "files": "it goes into the prompt or an input",
    "for_each": "a step runs for each item of a list, of files or of rows",
}


class Problem(NamedTuple):
    """What is wrong: the path of the field in the pipeline, and the words in that field that it is about."""

    path: tuple[int | str, ...]
    words: str
    near: str = ""


class PipelineError(BadRequestError):
    """A pipeline that cannot run; `problems` say each where what is wrong. With `more` there are others."""

    def __init__(self, name: str, problems: list[str], *, more: bool = False) -> None:
        self.problems = problems
        count = f"{len(problems)} problems" if len(problems) > 1 else "a problem"
        count = f"over {count}" if more else count
        super().__init__(f"pipeline {name} has {count}, and cannot run:\n  " + "\n  ".join(problems))


def check(pipeline: Pipeline) -> None:
    """Raise PipelineError, with the first problems, where the pipeline cannot run."""
    # A stranger's pipeline may have thousands, and each takes long to word.
    found = islice(problems(pipeline), _MOST_TOLD + 1)
    told = [f"{'.'.join(map(str, one.path))}: {one.words}" for one in found]
    if told:
        raise PipelineError(pipeline.name, told[:_MOST_TOLD], more=len(told) > _MOST_TOLD)


def count_of(pipeline: Pipeline) -> int:
    """How many steps it has, with those of the pipelines in it."""
    return sum(1 + count_of(step.pipeline) if step.pipeline else 1 for step in pipeline.steps.values())


def problems(pipeline: Pipeline) -> Iterator[Problem]:
    """Everything that is wrong with it."""
    if (count := count_of(pipeline)) > MAX_STEPS:
        yield Problem(
            ("steps",), f"{count:,} steps, with those of its pipelines: at most {MAX_STEPS} will do"
        )
    else:
        yield from _Check(pipeline).problems()


class _Check:
    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline, self._steps = pipeline, pipeline.steps
        self._needs = {name: needs(step) for name, step in pipeline.steps.items()}

    def problems(self) -> Iterator[Problem]:
        for name, step in self._steps.items():
            for field, one in step.looked_up:
                words = self._unknown(one, name, field) or self._misfit(one, step, field)
                if words:
                    yield Problem(("steps", name, field), words, one.said)
            if step.pipeline is not None:
                yield from self._nested(name, step, step.pipeline)
        for name, text in self._pipeline.outputs.items():
            for one in lookups(text):
                words = self._unknown(one, "", "outputs") or _without_parts(one, self._kind(one, None))
                if words:
                    yield Problem(("outputs", name), words, one.said)

    def _unknown(self, one: Lookup, own: str, field: str) -> str | None:
        """Why there is nothing of that name there."""
        if one.root == "inputs":
            known = list(self._pipeline.inputs)
            return None if one.name in known else f"there is no input '{one.name}'{_meant(one.name, known)}"
        if one.root == "item":
            has = field not in ("for_each", "outputs") and self._steps[own].for_each is not None
            return None if has else "there is an item only in a step that has 'for_each'"
        names = list(self._steps)
        if one.name not in names:
            return f"there is no step '{one.name}'{_meant(one.name, names)}"
        if not own or names.index(one.name) < names.index(own):
            return None
        if cycle := self._way(one.name, own):
            return f"steps wait for each other: {' -> '.join([own, *cycle])}"
        return f"step '{one.name}' comes later: move it before '{own}'"

    def _way(self, start: str, end: str) -> list[str] | None:
        """The steps from `start` to `end`, each of which needs the next one."""
        ways, seen = [[start]], {start}
        while ways:
            way = ways.pop()
            if way[-1] == end:
                return way
            further = self._needs.get(way[-1], frozenset()) - seen
            seen |= further
            ways += [[*way, name] for name in sorted(further)]
        return None

    def _misfit(self, one: Lookup, step: Step, field: str) -> str | None:
        """Why the field cannot take such a value."""
        kind = self._kind(one, step)
        if kind not in (taken := _TAKEN.get(field, {kind})) and not one.pointer:
            return f"it is {_WORDS[kind]}, which {field} does not take: {_REMEDIES[field]}"
        return _without_parts(one, kind) if kind in taken else None

    def _kind(self, one: Lookup, step: Step | None) -> str:
        """What kind of value that is, before its pointer is followed."""
        if one.root == "inputs":
            declared = self._pipeline.inputs[one.name].type
            return _KINDS.get(declared, declared.value)
        if one.root == "steps":
            fanned = self._steps[one.name].for_each is not None
            return {"files": "files", "text": "texts" if fanned else "text"}.get(
                one.part, "list" if fanned else "any"
            )
        each = step.for_each if step else None
        source = whole(each) if isinstance(each, str) else None
        if (
            source is None
            or source[0].pointer
            or source[0].root == "item"
            or self._unknown(source[0], "", "")
        ):
            return "any"
        return {"files": "file", "texts": "text"}.get(self._kind(source[0], None), "any")

    def _nested(self, name: str, step: Step, inner: Pipeline) -> Iterator[Problem]:
        path = ("steps", name, "inputs")
        for given, value in step.inputs.items():
            declared = inner.inputs.get(given)
            if declared is None:
                words = f"pipeline {inner.name} has no input '{given}'{_meant(given, list(inner.inputs))}"
                yield Problem((*path, given), words)
                continue
            one = (whole(value) or (None,))[0] if isinstance(value, str) else None
            if one is None or self._unknown(one, name, "inputs"):
                continue
            kind = "any" if one.pointer else self._kind(one, step)
            if kind not in _TAKEN[declared.type]:
                wanted = f"input '{given}' of pipeline {inner.name} is of type {declared.type}"
                yield Problem((*path, given), f"{wanted}, and this is {_WORDS[kind]}", one.said)
        for missing in inner.inputs.keys() - step.inputs.keys():
            if inner.inputs[missing].is_required:
                yield Problem(("steps", name), f"pipeline {inner.name} needs the input '{missing}'")
        for one_problem in problems(inner):
            yield one_problem._replace(path=("steps", name, "pipeline", *one_problem.path))


def _without_parts(one: Lookup, kind: str) -> str | None:
    return "it is a text, which has no parts" if one.pointer and kind == "text" else None


def _meant(name: str, known: list[str]) -> str:
    """What may have been meant, or what there is."""
    if close := get_close_matches(name, known, n=1):
        return f": did you mean '{close[0]}'?"
    return f": there are {', '.join(known[:_SHOWN_NAMES])}" if known else ""
