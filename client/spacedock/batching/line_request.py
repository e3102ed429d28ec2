"""From a line of a batch to its request: defaults fill what it lacks, its files are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spacedock.batching.sources.line import BatchLine
from spacedock.errors import BadRequestError
from spacedock.files import Payload
from spacedock.prepare import is_directory, pack, prepare
from spacedock.request import JobRequest

_MOST_NAMES = 5
_MOST_PACKED = 4


class RequestMaker:
    """Makes requests of lines; `defaults` are the fields of those that do not give them.

    Raises BadRequestError where the defaults fit no line.
    """

    def __init__(self, defaults: Mapping[str, Any]) -> None:
        self._defaults = {"prompt": "", "space": None, "inputs": {}, **defaults}
        fields = {name: value for name, value in self._defaults.items() if name not in {"prompt", "space"}}
        space = self._defaults["space"]
        prepare("x", (), None if space is not None and is_directory(space) else space, fields)
        self._packed: dict[str, Payload] = {}

    def make(self, line: BatchLine) -> tuple[JobRequest, list[Payload]]:
        """The line's request and its files. Raises BadRequestError and its kinds."""
        fields = {**self._defaults, **line.fields}
        fields["inputs"] = {**self._defaults["inputs"], **line.fields.get("inputs", {})}
        space = fields.pop("space")
        if space is not None and is_directory(space):
            fields["repository"], space = self._repository(space).ref, None
        inline = line.asked.payloads if line.asked else ()
        request, payloads = prepare(fields.pop("prompt"), [*line.files, *inline], space, fields)
        if not (request.asks or request.endpoint):
            raise BadRequestError("the prompt is empty and there is no file or input")
        if request.inputs and not (request.prompt.strip() or request.files or _names_a_space(request)):
            given = ", ".join(list(request.inputs)[:_MOST_NAMES])
            raise BadRequestError(f"it has inputs ({given}) and no prompt: name their Space with --space")
        return request, payloads

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
