"""How a model endpoint stands, found out without loading its model."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import httpx2
from pydantic import BaseModel, ConfigDict, ValidationError

from spacedock_worker.models.endpoint import ModelEndpoint
from spacedock_worker.models.http import connection, exchange
from spacedock_worker.models.listing import Listing, with_tags

_SHOWN_MODELS = 10
_NAME_LENGTH = 100


@dataclass(frozen=True, slots=True)
class Probe:
    """`state` is "ready", "loading", "resting" (it is loaded at its first use) or "absent"; `why` says more.

    `models` are the names that the endpoint tells, at most 10.
    """

    state: str
    models: tuple[str, ...] = ()
    why: str = ""


class _State(BaseModel):
    """What the daemon says of its own model server, in a line of JSON."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    state: str
    model: str | None = None
    why: str = ""


async def probe(endpoint: ModelEndpoint, seconds: float) -> Probe:
    """Look at the endpoint for so long at most; never raises for it.

    The daemon's own model server would be started by any connection: it tells its state on a socket besides.
    """
    try:
        async with asyncio.timeout(seconds):
            if endpoint.state_socket is not None:
                return await _told(endpoint.state_socket)
            return await _listed(endpoint)
    except TimeoutError:
        return Probe("absent", why=f"no answer within {seconds:g} s")


async def _told(socket: Path) -> Probe:
    try:
        reader, writer = await asyncio.open_unix_connection(socket)
        try:
            said = _State.model_validate_json(await reader.readline())
        finally:
            writer.close()
    except (OSError, ValueError) as error:
        return Probe("absent", why=f"the daemon does not tell its state ({type(error).__name__})")
    return Probe(said.state, (said.model,) if said.model else (), said.why)


async def _listed(endpoint: ModelEndpoint) -> Probe:
    try:
        async with connection(endpoint) as http:
            reply = await exchange(http, "GET", "models")
            if reply.status != 200:
                loading = reply.status in (429, 502, 503, 504)
                return Probe("loading" if loading else "absent", why=f"HTTP {reply.status}")
            listing = await with_tags(http, endpoint, Listing.model_validate_json(reply.body))
    except httpx2.HTTPError as error:
        return Probe("absent", why=f"it cannot be reached ({type(error).__name__})")
    except ValidationError:
        return Probe("absent", why="it does not speak OpenAI's protocol")
    chatting = listing.candidates(endpoint)
    if not chatting and endpoint.model is None:
        return Probe("absent", why="it lists no chat model that runs there: name one as its `model`")
    names = dict.fromkeys([*chatting, *(model.id for model in listing.data)])
    return Probe("ready", tuple(name[:_NAME_LENGTH] for name in list(names)[:_SHOWN_MODELS]))
