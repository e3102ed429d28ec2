"""The functions of the seed: thin names over the client, each for those who call just one of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from spacedock._wire.retention import DAY_S
from spacedock.client import Client
from spacedock.errors import BadRequestError, SpacedockError
from spacedock.prepare import is_directory
from spacedock.replies.host import CleanupReply
from spacedock.replies.spaces import FoundRow, RecommendedRow, ValidateReply
from spacedock.result import JobResult

_PORT = 7860
"""Where an app listens of which the registry says nothing."""


class ExecutionError(SpacedockError):
    """Nobody answered: not the Space, and none of those that the chain has after it.

    `result` has every attempt with its reason.
    """

    def __init__(self, result: JobResult) -> None:
        self.result = result
        why = f": {result.error.message}" if result.error else ""
        super().__init__(f"job {result.id} {result.state.value}{why}")


async def execute_space(
    prompt: str,
    space: str,
    *,
    files: Iterable[Path | str] = (),
    port: int | None = None,
    client: Client | None = None,
    **options: Any,
) -> JobResult:
    """Run a prompt with a Space, as `Client.run` does; `options` are those of `JobRequest`.

    When the Space fails, the chain goes on: `result.answered_by` says who answered, and `result.degraded`
    whether that is what was asked for. With `fallback="none"` only the Space may answer; `timeout=300` are
    the seconds of one call. `port` is the app's in its container, which the registry has; it takes none of
    this machine's. Raises ExecutionError where nobody answered, BadRequestError for another port than the
    registry's, and what `Client.run` raises.
    """
    async with _open(client) as opened:
        if port is not None:
            await _check_port(opened, space, port)
        result = await opened.run(prompt, files=files, space=space, **options)
    if not result.succeeded:
        raise ExecutionError(result)
    return result


async def validate_space(name: str, *, deep: bool = False, client: Client | None = None) -> ValidateReply:
    """Whether a Space can run on the host, as `Client.spaces.validate` says; only `deep` gets its image."""
    async with _open(client) as opened:
        return await opened.spaces.validate(name, deep=deep)


async def discover_spaces_by_category(
    category: str, *, limit: int = 20, client: Client | None = None
) -> list[FoundRow]:
    """The Spaces of a category: the registry's by their `name`, then the Hub's others by their `id`.

    `Client.spaces.discover` also says where the Hub's are not from now.
    """
    async with _open(client) as opened:
        found = await opened.spaces.discover(category, limit)
    here = {row["id"] for row in found["here"]}
    return [*found["here"], *(row for row in found["spaces"] if row["id"] not in here)]


async def get_recommended_spaces(
    task: str, *, files: Iterable[Path | str] = (), limit: int = 5, client: Client | None = None
) -> list[RecommendedRow]:
    """The Spaces for a task, or of a category, the best first; see `Client.spaces.recommend`."""
    async with _open(client) as opened:
        found = await opened.spaces.recommend(task, files=files, limit=limit)
    return found["spaces"]


async def cleanup_spaces_cache(
    *,
    older_than: float = DAY_S,
    images: bool = False,
    dry_run: bool = False,
    client: Client | None = None,
) -> CleanupReply:
    """Free what is needed no longer; says what that was, as `Client.cleanup` does."""
    async with _open(client) as opened:
        return await opened.cleanup(older_than=older_than, images=images, dry_run=dry_run)


async def _check_port(client: Client, space: str, port: int) -> None:
    listed = "/" not in space and not is_directory(space)
    known = (await client.spaces.show(space))["port"] if listed else _PORT
    if port != known:
        raise BadRequestError(
            f"{space} listens on port {known}, not {port}. Its port is the registry's to say: "
            f"`spacedock spaces add {space} --port {port}`, with its image or repository."
        )


@asynccontextmanager
async def _open(client: Client | None) -> AsyncIterator[Client]:
    """The caller's client, which stays open; or one for this call, of this machine's own daemon."""
    if client is not None:
        yield client
        return
    async with Client() as opened:
        yield opened
