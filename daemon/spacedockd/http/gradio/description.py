"""What gradio_client is told of a Space, `/config` and `/info`, made from what its app takes (pure)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict

from spacedock.replies.spaces import EndpointInput
from spacedock_worker.adapters.binding import kinds
from spacedockd.http.errors import HttpError

PREFIX = "gradio_api"
_SPOKEN = "6.0.0"
"""The Gradio whose protocol is spoken here, whichever the Space runs."""

_UNNAMED = "/fn_index/"
_SIMPLE: dict[frozenset[str], tuple[str, str]] = {
    kinds.TEXT: ("string", "str"),
    kinds.NUMBER: ("number", "float"),
    kinds.YES_NO: ("boolean", "bool"),
}


class AppEndpoint(BaseModel):
    """One endpoint: its inputs, and the components of its outputs."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    endpoint: str
    inputs: tuple[EndpointInput, ...]
    outputs: tuple[str, ...]
    visible: bool

    @property
    def number(self) -> int:
        """Its `fn_index`: made of its name, so that it stays when the Space gets other endpoints."""
        return zlib.crc32(self.endpoint.encode())

    def key(self, one: EndpointInput) -> str:
        """The name by which a job fills the input: the app may give it to another one, too."""
        alike = sum(other["name"] == one["name"] for other in self.inputs)
        return one["name"] if alike == 1 else f"input_{one['position']}"


class AppDescription(BaseModel):
    """The endpoints of one Space that have names."""

    model_config = ConfigDict(frozen=True)

    space: str
    endpoints: tuple[AppEndpoint, ...]

    @classmethod
    def of(cls, space: str, rows: Any) -> AppDescription:
        """Read the rows of `spacedock spaces show NAME --endpoints --json`, in an order that stays."""
        read = (AppEndpoint.model_validate(row) for row in rows)
        named = (one for one in read if not one.endpoint.startswith(_UNNAMED))
        return cls(space=space, endpoints=tuple(sorted(named, key=lambda one: one.endpoint)))

    def named(self, name: str) -> AppEndpoint:
        """The endpoint of that name. Raises HttpError."""
        return self._found(name, (one for one in self.endpoints if one.endpoint == f"/{name}"))

    def numbered(self, number: Any) -> AppEndpoint:
        """The endpoint of that `fn_index`. Raises HttpError."""
        return self._found(number, (one for one in self.endpoints if one.number == number))

    def _found(self, wanted: Any, found: Iterator[AppEndpoint]) -> AppEndpoint:
        for one in found:
            return one
        known = ", ".join(one.endpoint for one in self.endpoints) or "none"
        why = f"the Space {self.space} has no endpoint {wanted!r} (any more); it has: {known}"
        raise HttpError(404, "endpoint_not_found", why)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The page: a component for each input and output, a dependency for each endpoint."""
        components: list[dict[str, Any]] = []
        dependencies = []
        for one in self.endpoints:
            ids = [len(components) + place for place in range(len(one.inputs) + len(one.outputs))]
            named = [*((i["component"], i["label"]) for i in one.inputs), *((o, "") for o in one.outputs)]
            components += [
                {"id": i, "type": kind, "props": {"label": label}, "skip_api": False}
                for i, (kind, label) in zip(ids, named, strict=True)
            ]
            dependencies.append(
                {
                    "id": one.number,
                    "api_name": one.endpoint.removeprefix("/"),
                    "api_visibility": "public" if one.visible else "undocumented",
                    "inputs": ids[: len(one.inputs)],
                    "outputs": ids[len(one.inputs) :],
                    "backend_fn": True,
                    "queue": True,
                    "cancels": [],
                    "targets": [],
                    "types": {"generator": False, "cancel": False},
                }
            )
        return {
            "version": _SPOKEN,
            "protocol": "sse_v3",
            "api_prefix": f"/{PREFIX}",
            "connect_heartbeat": False,
            "enable_queue": True,
            "components": components,
            "dependencies": dependencies,
        }

    @cached_property
    def info(self) -> dict[str, Any]:
        """The endpoints that the app shows, with the types of what goes in and out."""
        shown = (one for one in self.endpoints if one.visible)
        return {
            "named_endpoints": {
                one.endpoint: {
                    "parameters": [_parameter(i) for i in one.inputs],
                    "returns": [
                        {"label": f"value_{place}", **_typed(output, file=output in kinds.MEDIA)}
                        for place, output in enumerate(one.outputs)
                    ],
                    "api_visibility": "public",
                }
                for one in shown
            },
            "unnamed_endpoints": {},
        }


def _parameter(one: EndpointInput) -> dict[str, Any]:
    return {
        "label": one["label"] or one["name"],
        "parameter_name": one["name"],
        "parameter_has_default": not one["required"],
        "parameter_default": one["default"],
        **_typed(one["component"], file=one["file"], several=one["several"], choices=one["choices"]),
    }


def _typed(
    component: str, *, file: bool, several: bool = False, choices: Sequence[Any] = ()
) -> dict[str, Any]:
    """The JSON schema of a component's value, and what it is in Python."""
    schema: dict[str, Any] = {}
    python = "Any"
    if file and component not in (*kinds.TABLE, kinds.MULTIMODAL):
        schema, python = {"type": "string", "format": "filepath"}, "filepath"
    elif choices:
        schema, python = {"enum": list(choices)}, f"Literal[{', '.join(map(repr, choices))}]"
    elif component != kinds.MULTIMODAL:
        for known, (name, python_name) in _SIMPLE.items():
            if component in known:
                schema, python = {"type": name}, python_name
    if several or component in ("checkboxgroup", "gallery"):
        schema, python = {"type": "array", "items": schema}, f"list[{python}]"
    python_type = {"type": python, "description": ""}
    return {"type": schema, "python_type": python_type, "component": component.capitalize()}
