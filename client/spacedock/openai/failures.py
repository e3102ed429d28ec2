"""Failures in OpenAI's and Anthropic's envelopes, with the status codes that their clients expect (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spacedock.result import ErrorKind, JobResult
from spacedock.states import JobState

_STATUS_OF_KIND: Mapping[ErrorKind | None, int] = {
    ErrorKind.BAD_INPUT: 400,
    ErrorKind.UNSUPPORTED: 400,
    ErrorKind.SPACE_NOT_FOUND: 404,
    ErrorKind.TIMEOUT: 504,
    ErrorKind.START_TIMEOUT: 504,
    ErrorKind.DOCKER_UNAVAILABLE: 503,
    ErrorKind.MODEL_UNAVAILABLE: 503,
    ErrorKind.QUARANTINED: 503,
    ErrorKind.CANCELLED: 409,
}
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_ANTHROPIC_TYPES = _TYPES | {
    400: "invalid_request_error",
    413: "request_too_large",
    503: "overloaded_error",
    504: "timeout_error",
}


def envelope(status: int, code: str, message: str, param: str | None = None) -> dict[str, Any]:
    """An error as OpenAI's API writes it."""
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def failure_of(result: JobResult) -> tuple[int, dict[str, Any]]:
    """The status and the envelope for a job that ended without an answer."""
    kind = result.error.kind if result.error else None
    status = 409 if result.state is JobState.CANCELLED else _STATUS_OF_KIND.get(kind, 500)
    return status, envelope(status, (kind or result.state).value, result.failure)


def anthropic_error(status: int, message: str) -> dict[str, Any]:
    """An error as Anthropic's API writes it."""
    kind = _ANTHROPIC_TYPES.get(status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}}
