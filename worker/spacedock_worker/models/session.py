"""One endpoint in use: getting it ready, and asking it, each within its own limit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import httpx2
import openai
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel, ValidationError

from spacedock.result import ErrorKind, Stage
from spacedock_worker.errors import StepError
from spacedock_worker.models.endpoint import ModelEndpoint
from spacedock_worker.models.failures import NotReadyError, foreign, translated
from spacedock_worker.models.http import connection
from spacedock_worker.models.replies import Completion, Listing

# Ollama and Docker Model Runner unload a model that was idle for 5 minutes; well before that it is warm.
WARM_SECONDS = 60.0
_FIRST_PAUSE_SECONDS = 0.1
_LAST_PAUSE_SECONDS = 2.0

_Reply = TypeVar("_Reply", bound=BaseModel)


class Session:
    """The HTTP connection to one endpoint, and whether its model is known to be loaded."""

    def __init__(self, endpoint: ModelEndpoint, clock: Callable[[], float]) -> None:
        self.endpoint = endpoint
        self._clock = clock
        self._model: str | None = None
        self._warm_until = 0.0
        self._why = "it does not answer"
        self._opening = asyncio.Lock()
        self._free = asyncio.Semaphore(endpoint.parallel)
        self._api = openai.AsyncOpenAI(
            api_key="unused",
            base_url=endpoint.base_url,
            http_client=connection(endpoint),
            max_retries=0,
            timeout=httpx2.Timeout(None, connect=endpoint.connect_timeout),
        )

    async def close(self) -> None:
        """Close the connections; calls in progress break off."""
        await self._api.close()

    async def ready(self) -> str:
        """Wait until the model is loaded and return its name; at once where it answered lately.

        Raises StepError (stage `ready`): `timeout` after the endpoint's `load_timeout`, `model_unavailable`
        where nothing listens there for `connect_timeout`, or where waiting does not help.
        """
        limit = self.endpoint.load_timeout
        try:
            async with asyncio.timeout(limit), self._opening:
                if self._model is None or self._clock() >= self._warm_until:
                    self._model = await self._loaded()
                    self._warm_until = self._clock() + WARM_SECONDS
                return self._model
        except TimeoutError as error:
            message = (
                f"{self.endpoint.name} did not get ready within {limit:g} s ({self._why}). "
                "See its log, or raise its load_timeout."
            )
            raise StepError(Stage.READY, ErrorKind.TIMEOUT, message) from error

    def cool(self) -> None:
        """Forget that the model is loaded: the next call looks again."""
        self._warm_until = 0.0

    async def ask(self, model: str, chat: list[ChatCompletionMessageParam], limit: float) -> Completion:
        """One chat completion within `limit` seconds, once the endpoint is free for it.

        Raises NotReadyError where the model was unloaded meanwhile, else StepError (stage `call`).
        """
        try:
            # A local model answers one after another: what waits in its queue would use its time up.
            async with self._free, asyncio.timeout(limit):
                completion = await self._chat(Stage.CALL, model, chat, self.endpoint.max_tokens)
        except TimeoutError as error:
            message = (
                f"{self.endpoint.name} did not answer within {limit:g} s. "
                "Give the job more time, or use a smaller model."
            )
            raise StepError(Stage.CALL, ErrorKind.TIMEOUT, message) from error
        self._warm_until = self._clock() + WARM_SECONDS
        return completion

    async def _loaded(self) -> str:
        """Try until the model is loaded; the caller bounds the time."""
        started = self._clock()
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return await self._load()
            except NotReadyError as error:
                self._why = error.why
                if error.absent and self._clock() - started >= self.endpoint.connect_timeout:
                    raise self._absent() from error
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LAST_PAUSE_SECONDS)

    async def _load(self) -> str:
        listing = await self._call(Stage.READY, self._api.get("/models", cast_to=httpx2.Response), Listing)
        model = self.endpoint.model or listing.pick()
        if self.endpoint.local:
            # Ollama and Docker Model Runner list a model long before it is loaded, and load it within the
            # first completion: one token makes that part of loading, not of the job's time.
            await self._chat(Stage.READY, model, [{"role": "user", "content": "Hi"}], max_tokens=1)
        return model

    async def _chat(
        self, stage: Stage, model: str, chat: list[ChatCompletionMessageParam], max_tokens: int
    ) -> Completion:
        body = {"model": model, "messages": chat, "max_tokens": max_tokens}
        asked = self._api.post("/chat/completions", body=body, cast_to=httpx2.Response)
        return await self._call(stage, asked, Completion)

    async def _call(self, stage: Stage, call: Awaitable[httpx2.Response], kind: type[_Reply]) -> _Reply:
        try:
            # Read by our own types: the package's take any JSON whatever for a completion.
            return kind.model_validate_json((await call).content)
        except openai.APIError as error:
            raise translated(self.endpoint, stage, error) from error
        except ValidationError:
            # Without its cause, which repeats the answer: that belongs in no log.
            raise foreign(self.endpoint, stage) from None

    def _absent(self) -> StepError:
        where = self.endpoint.socket or self.endpoint.base_url
        message = f"{self.endpoint.name}: no model server at {where} ({self._why}). Start it."
        return StepError(Stage.READY, ErrorKind.MODEL_UNAVAILABLE, message)
