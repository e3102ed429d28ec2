"""What calls to one image have taught about its app, shared by all its containers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from spacedock_worker.adapters.base import AppCall
from spacedock_worker.adapters.binding.choose import Choice, choose
from spacedock_worker.adapters.binding.errors import CannotFillError
from spacedock_worker.adapters.binding.fill import fill
from spacedock_worker.adapters.endpoint import Endpoint

_REMEMBERED = 256


@dataclass(slots=True)
class LearnedEndpoints:
    """The endpoint that calls of one shape go to, and which endpoints answer the same without the queue.

    `direct` has True where they did, False where they did not; an endpoint that is not there is not known.
    `paged` are those of chats that give their callers objects, and have to be asked as the page asks.
    """

    direct: dict[str, bool] = field(default_factory=dict)
    paged: set[str] = field(default_factory=set)
    _chosen: OrderedDict[object, str] = field(default_factory=OrderedDict)

    def choose(self, endpoints: Sequence[Endpoint], call: AppCall) -> Choice:
        """As `choice.choose`, which weighs the endpoints once for each shape of a call."""
        shape = _shape(call)
        name = self._chosen.get(shape)
        known = next((endpoint for endpoint in endpoints if endpoint.name == name), None)
        if known is not None:
            # What fitted a call of that shape may not take this one's values.
            with suppress(CannotFillError):
                return Choice(known, fill(known, call))
        choice = choose(endpoints, call)
        self._chosen[shape] = choice.endpoint.name
        while len(self._chosen) > _REMEMBERED:
            self._chosen.popitem(last=False)
        return choice


def _shape(call: AppCall) -> object:
    """What two calls have in common that go to the same endpoint."""
    files = tuple((file.ref.media_type, PurePosixPath(file.ref.name).suffix) for file in call.files)
    return call.endpoint, bool(call.prompt.strip()), files, tuple(sorted(call.inputs))
