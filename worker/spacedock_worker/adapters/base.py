"""What the chain asks of any adapter: call a running app once and bring back its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from spacedock.files import Payload

OnProgress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class AppCall:
    """One call: the prompt, files with their bytes, inputs by parameter name, and the endpoint if named."""

    prompt: str
    files: tuple[Payload, ...] = ()
    inputs: Mapping[str, Any] = field(default_factory=dict)
    endpoint: str | None = None


@dataclass(frozen=True, slots=True)
class AppAnswer:
    """What the app answered: `text` for people, `data` as returned (JSON), `files` with their bytes."""

    endpoint: str
    text: str | None
    data: Any
    files: tuple[Payload, ...] = ()


class Adapter(Protocol):
    """Speaks to one kind of running app at one base URL; used within `async with`."""

    async def is_ready(self) -> bool:
        """Whether the app answers as this kind of app; False while it does not (yet). Never raises."""
        ...

    async def call(self, call: AppCall, on_progress: OnProgress) -> AppAnswer:
        """Call the app once; the caller bounds the time.

        Raises StepError of kind `bad_input` (no endpoint fits, an input is wrong; the message lists the
        candidates), `app_error` (the app said no), `crashed` (the connection broke) or `bad_output` (not
        understood, or over the limits).
        """
        ...
