"""From a line of a batch to its request: defaults fill what it lacks, its files are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spacedock.batching.sources.line import BatchLine
from spacedock.errors import BadRequestError
from spacedock.files import Payload
from spacedock.pipelines.model import InputType, Pipeline
from spacedock.pipelines.submitting import prepared
from spacedock.prepare import is_directory, pack, prepare
from spacedock.request import JobRequest

_OF_A_RUN = {"batch", "batch_id", "priority", "keep_for", "labels", "privacy"}
_MOST_NAMES = 5
_MOST_PACKED = 4


class RequestMaker:
    """Makes requests of lines; `defaults` are the fields of those that do not give them.

    With a `pipeline` among them each line is a run of it.
    Raises BadRequestError where the defaults fit no line.
    """

    def __init__(self, defaults: Mapping[str, Any]) -> None:
        self._defaults = {"prompt": "", "space": None, "inputs": {}, **defaults}
        self._pipeline: Pipeline | None = self._defaults.pop("pipeline", None)
        fields = {name: value for name, value in self._defaults.items() if name not in {"prompt", "space"}}
        space = self._defaults["space"]
        prepare("x", (), None if space is not None and is_directory(space) else space, fields)
        self._packed: dict[str, Payload] = {}

    def make(self, line: BatchLine) -> tuple[JobRequest, list[Payload]]:
        """The line's request and its files. Raises BadRequestError and its kinds."""
        fields = {**self._defaults, **line.fields}
        fields["inputs"] = {**self._defaults["inputs"], **line.fields.get("inputs", {})}
        if self._pipeline is not None:
            return self._run(self._pipeline, line, fields)
        space = fields.pop("space")
        if space is not None and is_directory(space):
            fields["repository"], space = self._repository(space).ref, None
        inline = line.asked.payloads if line.asked else ()
        request, payloads = prepare(fields.pop("prompt"), [*line.files, *inline], space, fields)
        if not (request.asks or request.endpoint):
            raise BadRequestError("the prompt is empty and there is no file or input")
        if request.inputs and not (request.prompt.strip() or request.files or _names_a_space(request)):
            given = ", ".join(list(request.inputs)[:_MOST_NAMES])
            raise BadRequestError(f"it has inputs ({given}) and no prompt: name their Space by `space`")
        return request, payloads

    def _run(
        self, pipeline: Pipeline, line: BatchLine, fields: dict[str, Any]
    ) -> tuple[JobRequest, list[Payload]]:
        """The line as a run: its prompt is the first text among the inputs, its files are the first files."""
        values = dict(fields.pop("inputs"))
        given = {(InputType.TEXT,): fields.pop("prompt"), (InputType.FILE, InputType.FILES): line.files}
        for kinds, value in given.items():
            name = next((name for name, one in pipeline.inputs.items() if one.type in kinds), None)
            if not value or name in values:
                continue
            if name is None:
                raise BadRequestError(
                    f"pipeline {pipeline.name} has no input of type {' or '.join(kinds)} for it"
                )
            single = pipeline.inputs[name].type is InputType.FILE and len(value) == 1
            values[name] = value[0] if single else value
        options = {name: value for name, value in fields.items() if name in _OF_A_RUN}
        return prepared(pipeline, values, None, options)

    def repository(self, request: JobRequest) -> list[Payload]:
        """The packed directory of the Space that a request brings along; nothing if it brings none."""
        return [one for one in self._packed.values() if one.ref == request.repository]

    def _repository(self, space: str) -> Payload:
        """A Space's directory, packed once for all lines that name it."""
        if space not in self._packed:
            if len(self._packed) == _MOST_PACKED:
                del self._packed[next(iter(self._packed))]
            self._packed[space] = pack(Path(space))
        return self._packed[space]


def _names_a_space(request: JobRequest) -> bool:
    return bool(request.space or request.repository or request.category)
