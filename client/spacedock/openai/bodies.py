"""Our results and failures as the bodies that OpenAI's and Anthropic's APIs answer with (pure)."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from spacedock.errors import SpacedockError
from spacedock.files import FileRef
from spacedock.openai.model_names import ApiRoute
from spacedock.openai.translation import OWN, TranslatedRequest
from spacedock.result import ErrorKind, JobResult, TokenCounts
from spacedock.states import JobState

UrlOf = Callable[[FileRef], str]
NO_FILES: Mapping[str, bytes] = MappingProxyType({})
_UNCOUNTED = TokenCounts()
"""Spaces count no tokens."""
_NESTED = 6


class WrongAnswerError(SpacedockError):
    """The Space answered, and not with what the route gives back, such as a vector."""

    def __init__(self, request: TranslatedRequest, result: JobResult, wanted: str) -> None:
        by = result.answered_by.name if result.answered_by else "nobody"
        self.result, self.wanted = result, wanted
        super().__init__(
            f"{by} answered without {wanted}, which {request.route.value} gives: name another Space"
        )


def wants_files(request: TranslatedRequest, *, urls: bool = False) -> bool:
    """Whether `response_body` needs the bytes of the result's files; `urls` says that it gets `url_of`."""
    if request.route in (ApiRoute.IMAGES, ApiRoute.EDITS):
        return not (urls and request.form.get("response_format") == "url")
    return request.route is ApiRoute.SPEECH


def response_body(
    request: TranslatedRequest,
    result: JobResult,
    created: int,
    files: Mapping[str, bytes] = NO_FILES,
    url_of: UrlOf | None = None,
) -> dict[str, Any]:
    """The body for a result that succeeded, with ours under `spacedock`.

    `created` is in seconds since 1970, `files` the bytes of the result's files by `sha256` (see
    `wants_files`), `url_of` where each can be fetched. Raises WrongAnswerError.
    """
    if request.anthropic:
        body = _message(request, result)
    elif request.route is ApiRoute.CHAT:
        body = _completion(request, result, created)
    elif request.route is ApiRoute.EMBEDDINGS:
        body = _embedding(request, result)
    elif request.route is ApiRoute.TRANSCRIPTIONS:
        body = _transcription(request, result)
    else:
        body = _images(request, result, created, files, url_of)
    return body | {OWN: own_of(request, result, url_of)}


def own_of(request: TranslatedRequest, result: JobResult, url_of: UrlOf | None = None) -> dict[str, Any]:
    """What OpenAI's shapes have no name for: who answered, and what was tried and not honoured."""
    by = result.answered_by
    own: dict[str, Any] = {
        "job_id": result.id,
        "answered_by": by.model_dump(mode="json") if by else None,
        "degraded": result.degraded,
        "attempts": [attempt.model_dump(mode="json") for attempt in result.attempts],
        "not_honoured": list(request.not_honoured(by.honoured if by else ())),
        "timings": result.timings.model_dump(mode="json"),
    }
    if result.output.files:
        own["files"] = [
            ref.model_dump(mode="json", exclude={"vault"}) | ({"url": url_of(ref)} if url_of else {})
            for ref in result.output.files
        ]
    if not request.known:
        own["unknown_model"] = request.model
    return own


def finish_reason(result: JobResult) -> str:
    """Why the answer ended, in OpenAI's words."""
    return "length" if result.output.truncated else "stop"


def text_of(result: JobResult) -> str:
    """The answer's words; where there are only files, their names."""
    if result.output.text is not None:
        return result.output.text
    return "\n".join(ref.name for ref in result.output.files)


def model_of(request: TranslatedRequest, result: JobResult) -> str:
    """The name of who answered."""
    return result.answered_by.name if result.answered_by else request.model


def usage_of(result: JobResult) -> dict[str, int]:
    """The tokens of a chat's answer, in OpenAI's words; zeros where nobody counted."""
    read, wrote = (tokens := _tokens(result)).prompt, tokens.completion
    return {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": read + wrote}


def _tokens(result: JobResult) -> TokenCounts:
    return (result.answered_by.tokens if result.answered_by else None) or _UNCOUNTED


def _completion(request: TranslatedRequest, result: JobResult, created: int) -> dict[str, Any]:
    message = {"role": "assistant", "content": text_of(result), "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason(result)}
    return {
        "id": f"chatcmpl-{result.id}",
        "object": "chat.completion",
        "created": created,
        "model": model_of(request, result),
        "choices": [choice],
        "usage": usage_of(result),
    }


def _message(request: TranslatedRequest, result: JobResult) -> dict[str, Any]:
    tokens = _tokens(result)
    return {
        "id": f"msg_{result.id}",
        "type": "message",
        "role": "assistant",
        "model": model_of(request, result),
        "content": [{"type": "text", "text": text_of(result)}],
        "stop_reason": "max_tokens" if result.output.truncated else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": tokens.prompt, "output_tokens": tokens.completion},
    }


def _embedding(request: TranslatedRequest, result: JobResult) -> dict[str, Any]:
    vector = _vector(result.output.data)
    if vector is None:
        raise WrongAnswerError(request, result, "a vector of numbers")
    written: Any = vector
    if request.form.get("encoding_format") == "base64":
        written = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    return {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": written}],
        "model": model_of(request, result),
        "usage": {"prompt_tokens": 0, "total_tokens": 0},
    }


def _vector(data: Any, depth: int = 0) -> list[float] | None:
    """The first list of numbers in what the endpoint returned."""
    if isinstance(data, dict):
        data = list(data.values())
    if not isinstance(data, list) or not data or depth == _NESTED:
        return None
    if all(isinstance(item, int | float) and not isinstance(item, bool) for item in data):
        return [float(item) for item in data]
    return next((found for item in data if (found := _vector(item, depth + 1)) is not None), None)


def _transcription(request: TranslatedRequest, result: JobResult) -> dict[str, Any]:
    body: dict[str, Any] = {"text": text_of(result)}
    if request.form.get("response_format") == "verbose_json":
        segments = _segments(result.output.data)
        duration = segments[-1]["end"] if segments else 0.0
        body |= {"task": "transcribe", "language": _language(result.output.data), "duration": duration}
        body |= {"segments": segments} if segments else {}
    return body


def _language(data: Any) -> str:
    found = _find(data, "language")
    return found if isinstance(found, str) else "unknown"


def _segments(data: Any) -> list[dict[str, Any]]:
    """The parts of a transcript with their times, where the Space gives `segments` or Whisper's `chunks`."""
    found = _find(data, "segments") or _find(data, "chunks")
    rows = []
    for number, row in enumerate(found if isinstance(found, list) else ()):
        times = row.get("timestamp") if isinstance(row, dict) else None
        start, end = times if isinstance(times, list) and len(times) == 2 else (None, None)
        if not isinstance(row, dict):
            return []
        start, end = row.get("start", start), row.get("end", end)
        if not isinstance(start, int | float) or not isinstance(end, int | float):
            return []
        rows.append(_segment(number, float(start), float(end), str(row.get("text", ""))))
    return rows


def _segment(number: int, start: float, end: float, text: str) -> dict[str, Any]:
    unknown = {"avg_logprob": 0.0, "compression_ratio": 0.0, "no_speech_prob": 0.0, "temperature": 0.0}
    return {"id": number, "seek": 0, "start": start, "end": end, "text": text, "tokens": [], **unknown}


def _find(data: Any, name: str, depth: int = 0) -> Any:
    if isinstance(data, dict) and name in data:
        return data[name]
    inner = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    if depth == _NESTED:
        return None
    return next((found for item in inner if (found := _find(item, name, depth + 1)) is not None), None)


def _images(
    request: TranslatedRequest,
    result: JobResult,
    created: int,
    files: Mapping[str, bytes],
    url_of: UrlOf | None,
) -> dict[str, Any]:
    pictures = [ref for ref in result.output.files if ref.media_type.startswith("image/")]
    if not pictures:
        raise WrongAnswerError(request, result, "a picture")
    if url_of is not None and request.form.get("response_format") == "url":
        return {"created": created, "data": [{"url": url_of(ref)} for ref in pictures]}
    if any(ref.sha256 not in files for ref in pictures):
        raise WrongAnswerError(request, result, "a picture that is still kept")
    data = [{"b64_json": base64.b64encode(files[ref.sha256]).decode()} for ref in pictures]
    return {"created": created, "data": data}


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
