"""Asking one language model in a Space's stead, or because no Space was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from time import monotonic

from spacedock.request import Tier
from spacedock.result import AnsweredBy, AnswerKind, Stage
from spacedock_worker.adapters.base import AppAnswer
from spacedock_worker.jobs.chain import StepAnswer, StepContext
from spacedock_worker.jobs.plan import ModelStep
from spacedock_worker.models.client import Models
from spacedock_worker.models.endpoint import ModelEndpoint
from spacedock_worker.models.listing import probe
from spacedock_worker.models.local import LocalModels
from spacedock_worker.registry.entry import SpaceEntry

_FIRST = "loading its model, which is fetched the first time"
_PROBE_SECONDS = 1.0

SAMPLING = ("temperature", "top_p", "max_tokens", "stop", "seed", "frequency_penalty", "presence_penalty")
"""The optional inputs of a job that every model server knows."""


class ModelRunner:
    """Runs the model steps of jobs: the configured Tier 1, else what runs locally, and the default."""

    def __init__(
        self,
        models: Models,
        configured: Sequence[ModelEndpoint],
        local: LocalModels | None,
        default: ModelEndpoint | None,
    ) -> None:
        self._models, self._local = models, local
        self._configured, self._default = tuple(configured), default

    async def endpoints(self) -> dict[str, ModelEndpoint]:
        """The endpoints by name, in the chain's order."""
        found = self._configured or (await self._local.endpoints() if self._local else ())
        last = (self._default,) if self._default else ()
        return {endpoint.name: endpoint for endpoint in (*found, *last)}

    async def run(self, step: ModelStep, endpoint: ModelEndpoint, context: StepContext) -> StepAnswer:
        """Answer a job with one model. Raises StepError."""
        files, request = await context.files(), context.request
        asking = partial(context.enter, Stage.CALL, "asking")
        if self._models.loaded(endpoint):
            asking()
        else:
            context.enter(Stage.READY, "loading its model" if step.tier is not Tier.DEFAULT else _FIRST)
        await context.job.at_work(True)
        started = monotonic()
        told = instruction(step.stands_in_for) if step.stands_in_for else None
        sampling = {
            name: request.optional_inputs[name] for name in SAMPLING if name in request.optional_inputs
        }
        answer = await self._models.answer(
            endpoint,
            request.prompt,
            files,
            told,
            request.timeout,
            private=request.privacy,
            sampling=sampling,
            on_ready=asking,
            owner=context.job.lane,
        )
        context.seconds["call"] = monotonic() - started
        # Only the daemon's own server tells of its file.
        digest = (await probe(endpoint, _PROBE_SECONDS)).digest if endpoint.state_socket else None
        by = AnsweredBy(
            tier=step.tier,
            kind=AnswerKind.MODEL,
            name=answer.model,
            model_digest=digest,
            tokens=answer.tokens,
            honoured=tuple(sampling),
        )
        data = {"text": answer.text, "thoughts": answer.thoughts} if answer.thoughts else answer.text
        said = AppAnswer("/chat/completions", answer.text, data, truncated=answer.truncated)
        return StepAnswer(said, by, step.degraded)


def instruction(entry: SpaceEntry) -> str:
    """Tell a model what the Space would have done, so that its words are of use."""
    task = entry.description or entry.title.replace("-", " ")
    return f"You stand in for an application: {task}. Do its task on what the user sends. Answer briefly."
