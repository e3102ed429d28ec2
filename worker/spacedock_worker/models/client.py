"""The models as the chain asks them: one prompt in, one answer out, whatever endpoint it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self

import structlog

from spacedock.files import Payload
from spacedock.result import ErrorKind, Stage, TokenCounts
from spacedock_worker.errors import StepError
from spacedock_worker.models.chat import Completion, messages, refusal
from spacedock_worker.models.endpoint import ModelEndpoint
from spacedock_worker.models.http import NotReadyError, UnfitModelError
from spacedock_worker.models.session import Session
from spacedock_worker.models.thoughts import told_apart

_CLOSE_SECONDS = 5.0
_WORDS = 300

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """What a model said, and which model it was; a stand-in says so in its name.

    `thoughts` is what it said to itself before; `truncated` where it stopped at its limit of tokens.
    """

    text: str
    model: str
    thoughts: str = ""
    truncated: bool = False
    tokens: TokenCounts | None = None


class Models:
    """Asks language models; used within `async with`, by any number of jobs at once.

    `clock` gives monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sessions: dict[ModelEndpoint, Session] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sessions, self._sessions = tuple(self._sessions.values()), {}
        closing = asyncio.gather(*(session.close() for session in sessions), return_exceptions=True)
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(closing), _CLOSE_SECONDS)

    def loaded(self, endpoint: ModelEndpoint) -> bool:
        """Whether the endpoint's model is loaded, as far as is known."""
        return self._session(endpoint).warm

    async def answer(
        self,
        endpoint: ModelEndpoint,
        prompt: str,
        files: tuple[Payload, ...] = (),
        instruction: str | None = None,
        limit: float = 300.0,
        *,
        private: bool = False,
        sampling: Mapping[str, Any] | None = None,
        on_ready: Callable[[], None] = lambda: None,
        owner: str = "",
    ) -> ModelAnswer:
        """Ask one model once. `limit` (seconds) bounds the answer; loading has the endpoint's own limit.

        `sampling` has parameters of the protocol, such as `temperature`.

        A `private` prompt is refused where the model does not run on this machine. `on_ready` is called once
        the model is loaded. Where the endpoint is busy, each `owner` is served in turn with the others.

        Raises StepError: stage `ready` with `model_unavailable` or `timeout`; stage `call` with
        `bad_input` (files that it cannot take), `timeout`, `app_error`, `bad_output` (no words), or
        `model_unavailable` (it broke off).
        """
        if reason := refusal(endpoint, (file.ref for file in files)):
            raise StepError(Stage.CALL, ErrorKind.BAD_INPUT, f"{reason}. Send it to a Space that takes it.")
        session = self._session(endpoint)
        chat = messages(prompt, files, instruction)
        ask = partial(session.ask, chat=chat, limit=limit, sampling=sampling or {}, owner=owner)
        model, completion = await _asked(session, ask, private, on_ready)
        log.debug("model.answered", endpoint=endpoint.name, model=completion.model)
        name = _honest(endpoint, completion.model or model)
        text, thoughts = _words(endpoint, completion)
        return ModelAnswer(text, name, thoughts, completion.cut_off, completion.tokens)

    def _session(self, endpoint: ModelEndpoint) -> Session:
        if endpoint not in self._sessions:
            self._sessions[endpoint] = Session(endpoint, self._clock)
        return self._sessions[endpoint]


async def _asked(
    session: Session,
    ask: Callable[[str], Awaitable[Completion]],
    private: bool,
    on_ready: Callable[[], None],
) -> tuple[str, Completion]:
    """Get ready and ask; again where the model was unloaded meanwhile, or has no chat."""
    tries = 2
    while tries:
        model = await session.ready(private=private)
        on_ready()
        try:
            return model, await ask(model)
        except UnfitModelError as error:
            session.unfit(model, error)
        except NotReadyError as error:
            why = error.why
            session.cool()
            tries -= 1
    message = f"{session.endpoint.name} does not answer: {why}. Try again later, or see its log."
    raise StepError(Stage.CALL, ErrorKind.MODEL_UNAVAILABLE, message)


def _words(endpoint: ModelEndpoint, completion: Completion) -> tuple[str, str]:
    """The answer and the thoughts. Raises StepError where there is no answer."""
    text, inline = told_apart(completion.text)
    thoughts = "\n\n".join(filter(None, (completion.thoughts.strip(), inline)))
    if text:
        return text, thoughts
    if completion.refusal:
        message = f"{endpoint.name} refused: {completion.refusal[:_WORDS]}"
        raise StepError(Stage.CALL, ErrorKind.APP_ERROR, message)
    raise StepError(Stage.CALL, ErrorKind.BAD_OUTPUT, f"{endpoint.name} {_why_none(endpoint, completion)}.")


def _why_none(endpoint: ModelEndpoint, completion: Completion) -> str:
    if completion.cut_off:
        limit = f"its limit of {endpoint.max_tokens} tokens" if endpoint.max_tokens else "the server's limit"
        return f"thought until {limit}, and gave no answer; raise its max_tokens, or the server's context"
    if completion.wants_tools:
        return "asked for a tool instead of answering; use a model or a chat template without tools"
    if completion.thoughts or completion.text:
        return "only thought, and gave no answer; put the prompt in other words, or use another model"
    return "gave an empty answer; put the prompt in other words"


def _honest(endpoint: ModelEndpoint, model: str) -> str:
    wanted = endpoint.stand_in_for
    return f"{model} (stand-in for {wanted})" if wanted and wanted not in model else model
