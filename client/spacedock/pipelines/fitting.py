"""Whether the hosts of a queue know whom a pipeline's steps ask, and whether their apps take the calls."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

from spacedock.errors import BadRequestError, CategoryNotFoundError, SpaceNotFoundError
from spacedock.files import FileRef
from spacedock.pipelines.checking import Problem
from spacedock.pipelines.expressions import Lookup, lookups
from spacedock.pipelines.model import InputType, Pipeline, Step
from spacedock.replies.host import PlanReply
from spacedock.request import Fallback, JobRequest, Tier
from spacedock.spaces import Spaces

_SAMPLE = FileRef(name="file", sha256="0" * 64, size=0)
_FILES = (InputType.FILE, InputType.FILES)
_MEDIA = {"image", "audio", "video"}


class _Asked(Protocol):
    """What is asked of a client."""

    spaces: Spaces

    async def plan(self, request: JobRequest) -> PlanReply: ...

    async def serving(self, space: str) -> Any: ...


async def misfits(client: _Asked, pipeline: Pipeline, notes: list[str]) -> list[Problem]:
    """What the hosts have against the steps; `notes` get what could not be found out.

    Raises NoWorkerError.
    """
    return [one async for one in _Fitting(client, pipeline, notes).problems()]


class _Fitting:
    def __init__(self, client: _Asked, pipeline: Pipeline, notes: list[str]) -> None:
        self._client, self._pipeline, self._notes = client, pipeline, notes
        self._gives = dict[str, set[str]]()
        self._taken = [one for step in pipeline.steps.values() for _, one in step.looked_up]
        self._taken += lookups(pipeline.outputs)

    async def problems(self) -> AsyncIterator[Problem]:
        for name, step in self._pipeline.steps.items():
            path = ("steps", name)
            if step.pipeline is not None:
                for one in await misfits(self._client, step.pipeline, self._notes):
                    yield one._replace(path=(*path, "pipeline", *one.path))
                continue
            try:
                words = await self._entry_misfit(name, step) or await self._app_misfit(name, step)
            except (SpaceNotFoundError, CategoryNotFoundError) as error:
                field = "category" if step.space is None else "space"
                if step.space is None or not await self._client.serving(step.space):
                    yield Problem((*path, field), str(error))
            except BadRequestError as error:
                yield Problem(path, str(error))
            else:
                if words:
                    yield Problem((*path, "endpoint" if step.endpoint else "space"), words)

    async def _entry_misfit(self, name: str, step: Step) -> str | None:
        """What the registry says of the Space's types against the step, and what others take from it."""
        if step.space is None or "/" in step.space:
            return None
        entry = await self._client.spaces.show(step.space)
        takes, gives = (set(str(entry[key]).split("_and_")) for key in ("input_type", "output_type"))
        self._gives[name] = gives
        if self._files(step) and takes == {"text"}:
            return f"{step.space} takes text alone, and the step hands over files"
        for one in lookups(step.files):
            given = self._gives.get(one.name, set()) & _MEDIA
            if given and "file" not in takes and takes & _MEDIA and not takes & given:
                wants = " or ".join(sorted(takes & _MEDIA))
                return f"{step.space} takes {wants}, and step '{one.name}' gives {' or '.join(sorted(given))}"
        if gives == {"text"} and any((one.name, one.part) == (name, "files") for one in self._taken):
            return f"{step.space} gives text alone, and files are taken from the step"
        return None

    async def _app_misfit(self, name: str, step: Step) -> str | None:
        """What the app has against the call, as far as it has run on the host."""
        plan = await self._client.plan(self._request(step))
        first = next((one for one in plan["steps"] if one["taken"]), None)
        if first is None:
            why = "; ".join(one["reason"] for one in plan["steps"])
            self._notes.append(f"{name}: nobody here would answer now: {why}")
            return None
        if first.get("kind") == "space" and not (first.get("mapping") or first.get("misfit")):
            self._notes.append(f"{name}: {first['name']} has not run here yet: its endpoints are not known")
        return first.get("misfit")

    def _request(self, step: Step) -> JobRequest:
        """A call like those of the step; what it looks up is left open, but for files."""
        files = self._files(step)
        fields: Mapping[str, Any] = step.model_dump(include={"space", "category", "endpoint", "privacy"})
        return JobRequest(
            **fields,
            prompt="text" if step.prompt else "",
            files=tuple(_SAMPLE.model_copy(update={"name": name}) for name in files),
            inputs={name: self._open(name, value) for name, value in step.inputs.items()},
            tier=step.tier or Tier.AUTO,
            fallback=Fallback.NONE,
        )

    def _files(self, step: Step) -> list[str]:
        """Names for the files that the step hands over, one for each reference."""
        named = [name for name, value in step.inputs.items() if self._is_file(value)]
        return [*(f"file {number}" for number, _ in enumerate(step.files, 1)), *named]

    def _open(self, name: str, value: Any) -> Any:
        return name if self._is_file(value) else None if [*lookups(value)] else value

    def _is_file(self, value: Any) -> bool:
        found: list[Lookup] = [*lookups(value)]
        return any(
            one.part == "files" or (one.root == "inputs" and self._pipeline.inputs[one.name].type in _FILES)
            for one in found
        )
