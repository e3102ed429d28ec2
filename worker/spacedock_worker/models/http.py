"""The HTTP connection to one endpoint, and what its failures mean for a step, each with what to do next."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import httpx2

from spacedock.result import ErrorKind, Stage
from spacedock_worker.errors import StepError
from spacedock_worker.models.endpoint import ModelEndpoint

# A local server has no need of a description of this machine: only what HTTP itself needs goes out.
_SENT = frozenset(
    {"host", "accept", "accept-encoding", "connection", "content-type", "content-length", "transfer-encoding"}
)

# As Ollama, llama.cpp, vLLM, LM Studio and OpenAI word it.
_NO_CHAT = re.compile(
    r"(not|n't|cannot) support\W+(\w+\W+)?(chat|completion|generat)"
    r"|not an? (chat|llm|language|text.generation)|is not llm"
    r"|only supports?\b.{0,40}(embed|rerank|pool)|embedding model|(no|have a|provide a) chat.template",
    re.IGNORECASE,
)
_WORDS = 300
_NESTED, _SHOWN = 5, 3
_SAYING = ("error", "message", "msg", "detail", "details", "errors", "error_message", "reason", "title")


class TooLongError(httpx2.HTTPError):
    """A server's answer is longer than it may be."""


@dataclass(frozen=True, slots=True)
class ModelReply:
    """A server's whole answer."""

    status: int
    headers: httpx2.Headers
    body: bytes


def connection(endpoint: ModelEndpoint) -> httpx2.AsyncClient:
    """An HTTP client for this endpoint alone; the caller closes it and bounds each call.

    Redirects are not followed: a prompt goes to the configured address or nowhere. Proxies and
    certificates of the environment count only for endpoints beyond the private network.
    """
    # Reading all certificates holds the event loop for 50 ms: not where there is no TLS to check.
    tls = not endpoint.base_url.lower().startswith("http:")
    socket = str(endpoint.socket) if endpoint.socket else None
    transport = httpx2.AsyncHTTPTransport(uds=socket, verify=tls) if socket else None
    return httpx2.AsyncClient(
        base_url=endpoint.base_url,
        transport=transport,
        trust_env=not endpoint.local,
        follow_redirects=False,
        verify=tls,
        timeout=httpx2.Timeout(None, connect=endpoint.connect_timeout),
        event_hooks={"request": [_sender(endpoint)]},
    )


async def exchange(
    http: httpx2.AsyncClient, method: str, path: str, json: Any = None, most: int = 2**20
) -> ModelReply:
    """One request and its answer, of at most `most` bytes. Raises httpx2.HTTPError."""
    body = bytearray()
    async with http.stream(method, path, json=json) as response:
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > most:
                raise TooLongError(f"the answer is longer than {most} bytes")
    return ModelReply(response.status_code, response.headers, bytes(body))


class _Sender:
    """Strips a request to what HTTP needs, and adds the endpoint's own key."""

    def __init__(self, api_key: str | None) -> None:
        self._api_key = api_key

    async def __call__(self, request: httpx2.Request) -> None:
        for name in [name for name in request.headers if name.lower() not in _SENT]:
            del request.headers[name]
        if self._api_key:
            request.headers["Authorization"] = f"Bearer {self._api_key}"


def _sender(endpoint: ModelEndpoint) -> _Sender:
    return _Sender(endpoint.api_key.get_secret_value() if endpoint.api_key else None)


class NotReadyError(Exception):
    """The endpoint cannot answer yet. `absent` where nothing of its kind is there, else it is loading."""

    def __init__(self, why: str, *, absent: bool = False) -> None:
        self.why, self.absent = why, absent
        super().__init__(why)


class UnfitModelError(StepError):
    """The server has no chat for this model; it may have one for another of its models."""


def refused(endpoint: ModelEndpoint, stage: Stage, reply: ModelReply) -> StepError | NotReadyError:
    """What a status other than success means: try again later (NotReadyError), or the end of the step."""
    status, why = reply.status, _reason(reply)
    # The header that OpenAI's own servers use for failures that waiting does not heal.
    final = reply.headers.get("x-should-retry") == "false"
    if status in (429, 502, 503, 504):
        return _unavailable(endpoint, stage, why) if final else NotReadyError(why)
    if status < 300:
        return foreign(endpoint, stage, reply)
    if status < 400:
        return _unavailable(endpoint, stage, f"sends to another address ({status}): correct its base_url")
    if status in (401, 403):
        return _unavailable(endpoint, stage, f"refuses the key ({status}): check its api_key")
    if status == 404:
        why = f"has no such model or path ({why}): check its model and base_url"
    elif stage is Stage.CALL and status != 501 and not _NO_CHAT.search(why):
        remedy = "Change the prompt or its files" if status < 500 else "Use a smaller model or prompt"
        message = f"{endpoint.name} answered {status}: {why}. {remedy}, or see its log."
        return StepError(stage, ErrorKind.APP_ERROR, message)
    return UnfitModelError(stage, ErrorKind.MODEL_UNAVAILABLE, _at(endpoint, why))


def broken(endpoint: ModelEndpoint, stage: Stage, error: httpx2.HTTPError) -> StepError | NotReadyError:
    """What a connection that failed means for the step."""
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return NotReadyError("nothing listens there", absent=True)
    if isinstance(error, TooLongError):
        kind = ErrorKind.MODEL_UNAVAILABLE if stage is Stage.READY else ErrorKind.BAD_OUTPUT
        return StepError(stage, kind, f"{endpoint.name}: {error}. Lower its max_tokens, or see its log.")
    if stage is Stage.READY:
        return NotReadyError("it broke off", absent=True)
    return StepError(
        stage,
        ErrorKind.MODEL_UNAVAILABLE,
        f"{endpoint.name} broke off while it answered. See its log; the job can be sent again.",
    )


def _unavailable(endpoint: ModelEndpoint, stage: Stage, why: str) -> StepError:
    return StepError(stage, ErrorKind.MODEL_UNAVAILABLE, _at(endpoint, why))


def foreign(endpoint: ModelEndpoint, stage: Stage, reply: ModelReply) -> StepError:
    """The error for words that are not the protocol's."""
    kind = ErrorKind.MODEL_UNAVAILABLE if stage is Stage.READY else ErrorKind.BAD_OUTPUT
    # LM Studio and others say what is wrong with a status of success.
    if (said := _json(reply)) is not None and (why := _told(said)):
        return StepError(stage, kind, f"{_at(endpoint, why)}. Check its base_url and model.")
    message = f"{endpoint.name} at {endpoint.base_url} does not speak OpenAI's protocol. Check its base_url."
    return StepError(stage, kind, message)


def _at(endpoint: ModelEndpoint, why: str) -> str:
    # Our own server has a socket: its address names nothing that anybody could correct.
    where = "" if endpoint.socket else f" at {endpoint.base_url}"
    return f"{endpoint.name}{where}: {why}"


def _reason(reply: ModelReply) -> str:
    """The server's own words, bounded: they go into a result that people read."""
    said = _json(reply)
    if said is not None:
        return _told(said) or f"HTTP {reply.status}"
    text = reply.body[: 4 * _WORDS].decode(errors="replace").strip()
    return f"HTTP {reply.status}" if not text or text.startswith("<") else _bounded(text)


def _json(reply: ModelReply) -> Any:
    try:
        return json.loads(reply.body)
    except (ValueError, RecursionError):
        return None


def _told(said: Any, depth: int = 0) -> str:
    """The words of an error: a string, or in the objects and lists that servers put around it."""
    if isinstance(said, str):
        return _bounded(said)
    if depth == _NESTED:
        return ""
    if isinstance(said, dict):
        found = (_told(said[key], depth + 1) for key in _SAYING if said.get(key))
        return next(filter(None, found), "")
    if isinstance(said, list):
        # FastAPI lists what is wrong with each field.
        return _bounded("; ".join(filter(None, (_told(one, depth + 1) for one in said[:_SHOWN]))))
    return ""


def _bounded(text: str) -> str:
    return " ".join(text[: 4 * _WORDS].split())[:_WORDS].rstrip(" .")
