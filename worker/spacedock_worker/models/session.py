"""One endpoint in use: getting it ready, and asking it, each within its own limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

from spacedock.result import ErrorKind, Stage
from spacedock_worker.errors import StepError
from spacedock_worker.models.chat import Chat, Completion
from spacedock_worker.models.endpoint import ModelEndpoint
from spacedock_worker.models.http import (
    NotReadyError,
    UnfitModelError,
    broken,
    connection,
    exchange,
    foreign,
    refused,
)
from spacedock_worker.models.listing import Listing, with_tags
from spacedock_worker.turns import Turnstile

# Ollama and Docker Model Runner unload a model that was idle for 5 minutes; well before that it is warm.
WARM_SECONDS = 60.0
_FIRST_PAUSE_SECONDS = 0.1
_LAST_PAUSE_SECONDS = 2.0
_UNFIT_SECONDS = 600.0
_MAX_BYTES = 2**20
_NAMES_SHOWN = 5

_Reply = TypeVar("_Reply", bound=BaseModel)


class Session:
    """The HTTP connection to one endpoint, and whether its model is known to be loaded."""

    def __init__(self, endpoint: ModelEndpoint, clock: Callable[[], float]) -> None:
        self.endpoint = endpoint
        self._clock = clock
        self._model: str | None = None
        self._elsewhere = False
        self._unfit_until: dict[str, float] = {}
        self._refusal: UnfitModelError | None = None
        self._warm_until = 0.0
        self._why = "it does not answer"
        self._opening = asyncio.Lock()
        self._gate = Turnstile(endpoint.parallel)
        self._http = connection(endpoint)

    async def close(self) -> None:
        """Close the connections; calls in progress break off."""
        await self._http.aclose()

    @property
    def warm(self) -> bool:
        """Whether it answered lately, so that its model is loaded."""
        return self._model is not None and self._clock() < self._warm_until

    async def ready(self, *, private: bool = False) -> str:
        """Wait until a model is loaded and return its name; at once where it answered lately.

        Raises StepError (stage `ready`): `timeout` after the endpoint's `load_timeout`, `model_unavailable`
        where nothing listens there for `connect_timeout`, where waiting does not help, or where a
        `private` prompt would leave this machine.
        """
        limit = self.endpoint.load_timeout
        try:
            async with asyncio.timeout(limit), self._opening:
                if self._model is None or not self.warm:
                    self._model = await self._loaded(private)
                    self._warm_until = self._clock() + WARM_SECONDS
                self._stays_here(self._model, private)
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

    def unfit(self, model: str, error: UnfitModelError) -> None:
        """Be told that the server has no chat for this model: the next one is asked, if there is one."""
        self._unfit_until[model], self._refusal = self._clock() + _UNFIT_SECONDS, error
        self.cool()

    async def ask(
        self, model: str, chat: Chat, limit: float, sampling: Mapping[str, Any], owner: str = ""
    ) -> Completion:
        """One chat completion within `limit` seconds, once the endpoint is free for it and it is its turn.

        `sampling` are parameters of the protocol; its `max_tokens` is at most the endpoint's own.

        Raises NotReadyError where the model was unloaded meanwhile, else StepError (stage `call`).
        """
        try:
            # A local model answers one after another: what waits in its queue would use its time up.
            async with self._gate.passed(owner), asyncio.timeout(limit):
                most = [
                    n for n in (self.endpoint.max_tokens, sampling.get("max_tokens")) if isinstance(n, int)
                ]
                completion = await self._chat(Stage.CALL, model, chat, min(most, default=None), sampling)
        except TimeoutError as error:
            message = (
                f"{self.endpoint.name} did not answer within {limit:g} s. "
                "Give the job more time, or use a smaller model."
            )
            raise StepError(Stage.CALL, ErrorKind.TIMEOUT, message) from error
        self._warm_until = self._clock() + WARM_SECONDS
        return completion

    async def _loaded(self, private: bool) -> str:
        """Try until the model is loaded; the caller bounds the time."""
        started = self._clock()
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return await self._load(private)
            except NotReadyError as error:
                self._why = error.why
                if error.absent and self._clock() - started >= self.endpoint.connect_timeout:
                    raise self._absent() from error
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LAST_PAUSE_SECONDS)

    async def _load(self, private: bool) -> str:
        """The first model that the server has a chat for."""
        listing = await self._call(Stage.READY, "GET", "models", Listing)
        try:
            listing = await with_tags(self._http, self.endpoint, listing)
        except httpx2.HTTPError as error:
            raise broken(self.endpoint, Stage.READY, error) from error
        for model in self._candidates(listing):
            if self._clock() < self._unfit_until.get(model, 0.0):
                continue
            self._elsewhere = listing.hands_on(model)
            self._stays_here(model, private)
            try:
                await self._warm(model)
            except UnfitModelError as error:
                self.unfit(model, error)
            else:
                return model
        raise self._none_fit()

    def _candidates(self, listing: Listing) -> tuple[str, ...]:
        if self.endpoint.model:
            return (self.endpoint.model, *self.endpoint.others)
        if found := listing.candidates(self.endpoint):
            return found
        if not listing.data:
            message = f"{self.endpoint.name} at {self.endpoint.base_url} has no model yet: load one there."
            raise StepError(Stage.READY, ErrorKind.MODEL_UNAVAILABLE, message)
        names = ", ".join(model.id[:100] for model in listing.data[:_NAMES_SHOWN])
        message = (
            f"{self.endpoint.name} at {self.endpoint.base_url} lists no chat model that runs there "
            f"({names}). Name one as its `model`."
        )
        raise StepError(Stage.READY, ErrorKind.MODEL_UNAVAILABLE, message)

    async def _warm(self, model: str) -> None:
        if self.endpoint.local:
            # Ollama and Docker Model Runner list a model long before it is loaded, and load it within the
            # first completion: one token makes that part of loading, not of the job's time.
            await self._chat(Stage.READY, model, [{"role": "user", "content": "Hi"}], max_tokens=1)

    def _stays_here(self, model: str, private: bool) -> None:
        """Raises StepError where a private prompt would be handed on to another machine."""
        if private and (self._elsewhere or not self.endpoint.private):
            message = f"privacy was asked for, and {self.endpoint.name} does not run {model} on this machine."
            raise StepError(Stage.READY, ErrorKind.MODEL_UNAVAILABLE, message, ours=True)

    def _none_fit(self) -> StepError:
        """The one model's own error, else a summary; all are tried again the next time."""
        count, last = len(self._unfit_until), self._refusal
        self._unfit_until.clear()
        if count == 1 and last is not None:
            return last
        message = f"none of {count} models chats; the last one: {last}. Name another as its `model`."
        return StepError(Stage.READY, ErrorKind.MODEL_UNAVAILABLE, message)

    async def _chat(
        self,
        stage: Stage,
        model: str,
        chat: Chat,
        max_tokens: int | None,
        sampling: Mapping[str, Any] | None = None,
    ) -> Completion:
        body = {**(sampling or {}), "model": model, "messages": chat, "stream": False}
        if max_tokens:
            body["max_tokens"] = max_tokens
        return await self._call(stage, "POST", "chat/completions", Completion, body)

    async def _call(
        self, stage: Stage, method: str, path: str, kind: type[_Reply], json: Any = None
    ) -> _Reply:
        try:
            reply = await exchange(self._http, method, path, json, _MAX_BYTES)
            if reply.status != 200:
                raise refused(self.endpoint, stage, reply)
            return kind.model_validate_json(reply.body)
        except httpx2.HTTPError as error:
            raise broken(self.endpoint, stage, error) from error
        except ValidationError:
            # Without its cause, which repeats the answer: that belongs in no log.
            raise foreign(self.endpoint, stage, reply) from None

    def _absent(self) -> StepError:
        where = self.endpoint.socket or self.endpoint.base_url
        message = f"{self.endpoint.name}: no model server at {where} ({self._why}). Start it."
        return StepError(Stage.READY, ErrorKind.MODEL_UNAVAILABLE, message)
