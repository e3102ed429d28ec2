"""The recorded descriptions of real Gradio apps, and questions that tests ask about them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from spacedock.files import Payload, payload_of
from spacedock.result import ErrorKind, Stage
from spacedock_worker.adapters.base import AppCall
from spacedock_worker.adapters.binding.choose import choose
from spacedock_worker.adapters.endpoint import Endpoint
from spacedock_worker.adapters.gradio.description import App, describe
from spacedock_worker.errors import StepError

DATA = Path(__file__).parent / "data" / "gradio"
OLD, NEW = ("3.35.2", "3.50.2", "4.8.0"), ("4.44.1", "6.31.0")
ALL = (*OLD, *NEW)


@cache
def recorded(name: str, version: str) -> dict[str, Any]:
    """The description of one app in full JSON: shared, not to be changed."""
    if not name.startswith("g-"):
        one: dict[str, Any] = json.loads((DATA / f"{name}-{version}.json").read_text())
        return one
    told: dict[str, Any] = _spaces(version)[name]
    return told


@cache
def _spaces(version: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((DATA / f"spaces-{version}.json").read_text())
    return told


def every() -> list[tuple[str, str]]:
    """All recorded test Spaces with their versions."""
    return [(name, version) for version in ALL for name in _spaces(version)]


def app_of(name: str, version: str) -> App:
    told = recorded(name, version)
    return describe(told["config"], told["info"])


def endpoint_of(app: App, name: str) -> Endpoint:
    return next(endpoint for endpoint in app.endpoints if endpoint.name == name)


def file(name: str) -> Payload:
    return payload_of(name, name.encode())


def chosen(app: App, prompt: str = "", *files: Payload, endpoint: str | None = None, **inputs: Any) -> str:
    return choose(app.endpoints, AppCall(prompt, files, inputs, endpoint)).endpoint.name


def filled(
    app: App, endpoint: str | None, prompt: str = "", *files: Payload, **inputs: Any
) -> tuple[Any, ...]:
    return choose(app.endpoints, AppCall(prompt, files, inputs, endpoint)).filling.data


def refusal(app: App, prompt: str = "", *files: Payload, endpoint: str | None = None, **inputs: Any) -> str:
    with pytest.raises(StepError) as caught:
        choose(app.endpoints, AppCall(prompt, files, inputs, endpoint))
    assert (caught.value.stage, caught.value.kind) == (Stage.CALL, ErrorKind.BAD_INPUT)
    return str(caught.value)


def page(*dependencies: dict[str, Any], **components: str) -> App:
    """A page with these events; `components` are types by label, with the ids 1, 2, … in that order."""
    known = [
        {"id": number, "type": kind, "props": {"label": label}}
        for number, (label, kind) in enumerate(components.items(), 1)
    ]
    return describe({"components": known, "dependencies": list(dependencies)}, None)
