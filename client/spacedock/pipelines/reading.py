"""A pipeline from its YAML file: every fault is told with its line and column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from spacedock._wire.wire import words_of
from spacedock._yaml.nodes import composed, locate, plain, twins
from spacedock.errors import BadRequestError, FileUnreadableError
from spacedock.pipelines.checking import PipelineError, Problem, problems
from spacedock.pipelines.model import Pipeline, PipelineInput, Step

_MOST_BYTES, _MOST_VALUES, _MOST_NESTED, _MOST_TOLD = 2**20, 20_000, 8, 100
_IN_QUOTES = "must be a text: put it in quotes"


def read_pipeline(path: Path) -> Pipeline:
    """The pipeline of that file, with the pipelines that it names; it is checked.

    Raises PipelineError, and FileUnreadableError for a file that is not there.
    """
    return PipelineFile(path).pipeline()


class PipelineFile:
    """A file with a pipeline; `within` are the files that name it as a step."""

    def __init__(self, path: Path, within: tuple[Path, ...] = ()) -> None:
        self._path, self._within = path, within
        try:
            self._text = path.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise FileUnreadableError(str(path), error.strerror or str(error)) from error
        except UnicodeDecodeError as error:
            raise FileUnreadableError(str(path), f"is not UTF-8 text (byte {error.start + 1})") from error
        if len(self._text) > _MOST_BYTES:
            raise FileUnreadableError(str(path), f"has over {_MOST_BYTES // 2**20} MB, which no pipeline has")
        self._root = self._checked_root()

    def pipeline(self) -> Pipeline:
        """The pipeline. Raises PipelineError with all that is wrong."""
        try:
            fields = plain(self._root)
        except yaml.MarkedYAMLError as error:
            raise self._error([self._place(self._root, f"not readable: {error.problem}")]) from error
        self._take_in(fields.get("steps"))
        try:
            pipeline = Pipeline.model_validate(fields)
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
            raise self._error(self._told(map(_problem_of, details))) from None
        if told := self._told(problems(pipeline)):
            raise self._error(told)
        return pipeline

    def error_of(self, found: Iterable[Problem]) -> PipelineError:
        """The error that tells these problems, each with its place."""
        return self._error(self._told(found))

    def _checked_root(self) -> yaml.MappingNode:
        root = composed(self._text, str(self._path))
        if not isinstance(root, yaml.MappingNode):
            raise PipelineError(str(self._path), [f"{self._path}:1:1: no pipeline: it has no 'steps:'"])
        try:
            count = _count(root, {})
        except RecursionError:
            count = _MOST_VALUES + 1
        if count > _MOST_VALUES:
            words = f"over {_MOST_VALUES:,} values, with those that its aliases (*) repeat, or too deep"
            raise self._error([self._place(root, words)])
        if doubled := list(_all_twins(root)):
            raise self._error([self._place(key, f"'{key.value}' is there twice") for key in doubled])
        return root

    def _take_in(self, steps: Any) -> None:
        """Put the pipelines of other files in the place of their paths."""
        for name, step in steps.items() if isinstance(steps, dict) else ():
            if isinstance(step, dict) and isinstance(named := step.get("pipeline"), str):
                try:
                    step["pipeline"] = self._other(self._path.parent / named)
                except PipelineError:
                    raise
                except BadRequestError as error:
                    raise self.error_of([Problem(("steps", name, "pipeline"), str(error))]) from error

    def _other(self, path: Path) -> Pipeline:
        way = (*self._within, self._path)
        known = [one.resolve() for one in way]
        if path.resolve() in known:
            names = [one.name for one in (*way[known.index(path.resolve()) :], path)]
            raise BadRequestError(f"a pipeline cannot be in itself: {' -> '.join(names)}")
        if len(way) >= _MOST_NESTED:
            raise BadRequestError(f"pipelines in pipelines: at most {_MOST_NESTED} deep")
        return PipelineFile(path, way).pipeline()

    def _told(self, found: Iterable[Problem]) -> list[str]:
        """The first problems, in the order of the file, each once."""
        places: dict[tuple[int, int], str] = {}
        # To find the place of each takes long where there are thousands, and nobody reads them.
        for one in islice(found, _MOST_TOLD):
            place = locate(self._root, one.path)
            start, end = place.value.start_mark.index, place.value.end_mark.index
            at = self._text.find(one.near, start, end) if one.near else -1
            at = place.at.start_mark.index if at < 0 else at
            before = self._text[:at]
            name = ".".join(place.path)
            words = f"{name}: {one.words}" if name else one.words
            places.setdefault((before.count("\n") + 1, at - before.rfind("\n")), words)
        return [f"{self._path}:{line}:{column}: {places[line, column]}" for line, column in sorted(places)]

    def _place(self, node: yaml.Node, words: str) -> str:
        mark = node.start_mark
        return f"{self._path}:{mark.line + 1}:{mark.column + 1}: {words}"

    def _error(self, told: list[str]) -> PipelineError:
        return PipelineError(str(self._path), told)


def _count(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values the node has, with those that aliases repeat; very many where it is in itself."""
    if id(node) not in known:
        known[id(node)] = _MOST_VALUES + 1
        known[id(node)] = 1 + sum(_count(one, known) for one in _children(node))
    return known[id(node)]


def _all_twins(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        yield from twins(node)
    for one in _children(node):
        yield from _all_twins(one)


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [one for pair in node.value for one in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []


def _problem_of(details: ErrorDetails) -> Problem:
    """What pydantic found, in the words of this file."""
    path, kind = details["loc"], details["type"]
    if kind == "extra_forbidden":
        names = list(_model_at(path).model_fields)
        close = get_close_matches(str(path[-1]), names, n=1)
        meant = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(names)}"
        return Problem(path, f"unknown key '{path[-1]}': {meant}")
    context = details.get("ctx", {})
    reason = _IN_QUOTES if kind == "string_type" else words_of(details)
    if kind == "missing":
        return Problem(path[:-1], f"'{path[-1]}' {reason}")
    return Problem(path, reason, getattr(context.get("error"), "near", ""))


def _model_at(path: tuple[int | str, ...]) -> type[BaseModel]:
    """Whose fields the last part of the path is one of."""
    below: dict[object, type[BaseModel]] = {"steps": Step, "inputs": PipelineInput}
    while path[:1] == ("steps",) and path[2:3] == ("pipeline",):
        path = path[3:]
    return below.get(path[0], Pipeline) if len(path) > 2 else Pipeline
