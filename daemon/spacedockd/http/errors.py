"""Errors of the HTTP door: which status and which body each error of ours gets."""

from __future__ import annotations

from collections.abc import Mapping
from errno import ENOSPC

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import ValidationError

from spacedock import errors
from spacedock._wire.wire import describe
from spacedock.openai.bodies import envelope

log = structlog.get_logger()

STARTED = web.RequestKey("started", bool)
"""Whether the answer has begun: then no other one can be given."""

_FULL = "the place where the queue keeps large files is full: try again when jobs have ended"


class HttpError(errors.SpacedockError):
    """A request that is refused: `code` is for programs, the message for people."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status, self.code, self.param = status, code, param
        self.headers = dict(headers or {})
        super().__init__(message)


_STATUSES: tuple[tuple[type[Exception], int, str], ...] = (
    (errors.FileTooLargeError, 413, "file_too_large"),
    (errors.BadRequestError, 400, "bad_request"),
    (errors.JobNotFoundError, 404, "job_not_found"),
    (errors.SpaceNotFoundError, 404, "space_not_found"),
    (errors.CategoryNotFoundError, 404, "category_not_found"),
    (errors.ResultDeletedError, 410, "result_deleted"),
    (errors.ResultTimeoutError, 504, "timeout"),
    (errors.QueueFullError, 429, "queue_full"),
    (errors.NoWorkerError, 503, "no_worker"),
    (errors.WireError, 404, "file_not_found"),
)
"""The first that fits counts."""

_RETRY_SECONDS = {429: "5", 503: "2"}


def told(error: Exception) -> HttpError | None:
    """What to answer for an error; None for a fault of ours."""
    if isinstance(error, HttpError):
        return error
    if isinstance(error, ValidationError):
        return HttpError(400, "bad_request", describe(error))
    if isinstance(error, errors.AWAY):
        return HttpError(503, "queue_away", errors.AWAY_TOLD, headers={"Retry-After": "2"})
    if isinstance(error, errors.StoreFullError):
        return HttpError(429, "queue_full", _FULL, headers={"Retry-After": "5"})
    if isinstance(error, OSError) and error.errno == ENOSPC:
        return HttpError(503, "disk_full", "this host has no room for what was sent: try again later")
    for kind, status, code in _STATUSES:
        if isinstance(error, kind):
            seconds = _RETRY_SECONDS.get(status)
            return HttpError(status, code, str(error), headers={"Retry-After": seconds} if seconds else None)
    return None


def body(error: HttpError) -> dict[str, object]:
    """The envelope of an error, which is OpenAI's."""
    return envelope(error.status, error.code, str(error), error.param)


def response(error: HttpError) -> web.Response:
    """The answer to a request that is refused."""
    return web.json_response(body(error), status=error.status, headers=error.headers)


@web.middleware
async def told_as_http(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into its status and body. One that comes after the answer began cuts it off."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        refused = HttpError(error.status, error.reason.lower().replace(" ", "_"), _about(request, error))
        refused.headers.update({"Allow": error.headers["Allow"]} if "Allow" in error.headers else {})
    except ConnectionError:
        raise
    except Exception as error:
        found = told(error)
        if found is None:
            log.exception("http.failed", method=request.method, route=route_of(request))
            found = HttpError(500, "internal", "the daemon met a fault of its own; its log says more")
        refused = found
    if request.get(STARTED):
        log.warning("http.cut_off", route=route_of(request), code=refused.code)
        if request.transport is not None:
            # A reader that does not read would hold what is still to be written.
            request.transport.abort()
        raise ConnectionResetError(refused.code)
    return response(refused)


def route_of(request: web.Request) -> str:
    """The pattern of the request's path: what may be logged, as paths and queries may hold secrets."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unknown"


def _about(request: web.Request, error: web.HTTPException) -> str:
    if error.status == 404:
        return "there is nothing at this address; /openapi.json says what there is"
    if error.status == 405:
        return f"{request.method} is not for this address; it takes {error.headers.get('Allow', 'others')}"
    return f"the request is refused: {error.reason}"
