"""What the chain asks of any adapter: call a running app once and bring back its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from spacedock.files import MAX_FILE_BYTES, MAX_JOB_BYTES, Payload
from spacedock_worker.adapters.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class AnswerLimits:
    """Bytes at most: of the JSON (or text) of one answer, of one file of it, and of all its files."""

    answer: int = 16 * 2**20
    file: int = MAX_FILE_BYTES
    files: int = MAX_JOB_BYTES


class OnCallProgress(Protocol):
    """Hears where a call stands, and its answer's text as far as the app has it (None: nothing new)."""

    def __call__(self, message: str, partial: str | None = None) -> None:
        """Hear it; returns at once."""


@dataclass(frozen=True, slots=True)
class AppCall:
    """One call: the prompt, files with their bytes, inputs by parameter name, and the endpoint if named.

    `optional` are inputs that count only where the endpoint has them.
    """

    prompt: str
    files: tuple[Payload, ...] = ()
    inputs: Mapping[str, Any] = field(default_factory=dict)
    endpoint: str | None = None
    optional: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AppAnswer:
    """What the app answered: `text` for people, `data` as returned (JSON), `files` with their bytes.

    `truncated` says that the text is only the beginning of what the app had to say, `honoured` names the
    optional inputs that counted.
    """

    endpoint: str | None
    text: str | None
    data: Any
    files: tuple[Payload, ...] = ()
    truncated: bool = False
    honoured: tuple[str, ...] = ()


class Adapter(Protocol):
    """Speaks to one running app for as long as it runs; any number of calls at a time."""

    @property
    def abandoned(self) -> bool:
        """Whether the app may still be at work on a call that was cut off: only its end would stop it."""
        ...

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """What can be called in the app, as it described itself."""
        ...

    async def call(self, call: AppCall, on_progress: OnCallProgress) -> AppAnswer:
        """Call the app once; the caller bounds the time, and by cancelling has the app stop if it can.

        Raises StepError of kind `bad_input` (no endpoint fits, an input is wrong; the message lists the
        candidates), `app_error` (the app said no), `crashed` (the connection broke) or `bad_output` (not
        understood, or over the limits).
        """
        ...

    async def explain(self, call: AppCall) -> AppAnswer:
        """The choice of the endpoint for that call with its reasons, instead of calling it.

        `text` is for people, `data` a row for each endpoint. Raises StepError as `call` does.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections; safe to call twice."""
        ...
