"""What an app says where it refuses a request, as the step errors that the chain records."""

from __future__ import annotations

import re
from typing import Any

from spacedock_worker.adapters.endpoint import Endpoint
from spacedock_worker.adapters.faults import app_error, bad_input
from spacedock_worker.adapters.http import RefusedError
from spacedock_worker.errors import StepError

BUSY = frozenset({429, 503})
_BAD_REQUEST = frozenset({400, 422})
_PLACES = frozenset({"body", "query", "path", "header", "cookie"})


def refused(error: RefusedError, endpoint: Endpoint) -> StepError:
    """The app's own words, as kind `bad_input` where they say which parameter is wrong, else `app_error`."""
    faults = _faults(error.told) if error.status in _BAD_REQUEST else []
    if faults:
        return bad_input(f"{endpoint} does not fit: {'; '.join(faults)}")
    words = error.detail
    if error.status in _BAD_REQUEST and _names_one(words, endpoint):
        return bad_input(f"{endpoint} does not fit: {words}")
    if words:
        return app_error(f"{words} (HTTP {error.status})")
    if error.status in BUSY:
        return app_error(f"the app is busy (HTTP {error.status}): try again later")
    if error.status < 400:
        return app_error(
            f"the app sends {endpoint.name} elsewhere (HTTP {error.status}), which is not followed"
        )
    return app_error(f"the app failed without saying why (HTTP {error.status}): see the container's log")


def _faults(told: Any) -> list[str]:
    """FastAPI's list of what is wrong, as "text: field required"; its `input`, the prompt, is left out."""
    rows = told.get("detail") if isinstance(told, dict) else None
    faults = []
    for row in rows if isinstance(rows, list) else ():
        match row:
            case {"loc": list(place), "msg": str(message)}:
                faults.append(f"{_place(place)}: {_lowered(message)}")
    return faults


def _place(parts: list[Any]) -> str:
    return ".".join(map(str, parts[1:] if len(parts) > 1 and parts[0] in _PLACES else parts))


def _lowered(message: str) -> str:
    return message[:1].lower() + message[1:]


def _names_one(words: str, endpoint: Endpoint) -> bool:
    said = set(re.findall(r"\w+", words.lower()))
    return any(slot.name.lower() in said for slot in endpoint.slots)
