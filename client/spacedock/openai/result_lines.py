"""Lines of a batch's results file and errors file, as OpenAI and Anthropic write them (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spacedock.openai.bodies import NO_FILES, WrongAnswerError, own_of, response_body
from spacedock.openai.failures import anthropic_error, envelope, failure_of
from spacedock.openai.translation import OWN, TranslatedRequest
from spacedock.result import JobResult
from spacedock.states import JobState


def result_line(
    request: TranslatedRequest, result: JobResult, created: int, files: Mapping[str, bytes] = NO_FILES
) -> tuple[dict[str, Any], bool]:
    """The line for a job that has ended, and whether it is one of the results file.

    False: it is one of the errors file. The arguments are those of `response_body`.
    """
    if not result.succeeded:
        status, body = failure_of(result)
    else:
        try:
            return _line(request, result, 200, response_body(request, result, created, files)), True
        except WrongAnswerError as error:
            status, body = 502, envelope(502, "wrong_answer", str(error))
    return _line(request, result, status, body | {OWN: own_of(request, result)}), False


def error_line(custom_id: str | None, code: str, message: str, *, anthropic: bool = False) -> dict[str, Any]:
    """The line of the errors file for a request that never was a job, such as one that cannot be read.

    `code` is a word for programs, such as `invalid_request` or `batch_expired`.
    """
    if anthropic:
        kind = {"batch_expired": "expired", "batch_cancelled": "canceled"}.get(code)
        outcome = {"type": kind} if kind else {"type": "errored", "error": anthropic_error(400, message)}
        return {"custom_id": custom_id, "result": outcome}
    error = {"code": code, "message": message}
    return {"id": f"batch_req_{custom_id}", "custom_id": custom_id, "response": None, "error": error}


def _line(request: TranslatedRequest, result: JobResult, status: int, body: dict[str, Any]) -> dict[str, Any]:
    if request.anthropic:
        return {"custom_id": request.id, "result": _outcome(result, status, body)}
    response = {"status_code": status, "request_id": result.id, "body": body}
    return {"id": f"batch_req_{result.id}", "custom_id": request.id, "response": response, "error": None}


def _outcome(result: JobResult, status: int, body: dict[str, Any]) -> dict[str, Any]:
    if status == 200:
        return {"type": "succeeded", "message": body}
    if result.state is JobState.CANCELLED:
        return {"type": "canceled", OWN: body[OWN]}
    return {"type": "errored", "error": anthropic_error(status, body["error"]["message"]), OWN: body[OWN]}
