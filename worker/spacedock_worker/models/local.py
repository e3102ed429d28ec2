"""Finding the language models that already run on this machine, at their usual addresses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx2
import structlog
from pydantic import ValidationError

from spacedock_worker.models.endpoint import ModelEndpoint
from spacedock_worker.models.http import connection, exchange
from spacedock_worker.models.listing import Listing, with_tags

LOOK_SECONDS = 0.5
KEEP_SECONDS = 30.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class LocalAddress:
    """Where a kind of model server usually listens, and the models to prefer there."""

    name: str
    base_url: str
    prefers: tuple[str, ...] = ()


USUAL = (
    LocalAddress("docker-model-runner", "http://localhost:12434/engines/v1", ("ai/smollm3",)),
    LocalAddress("ollama", "http://localhost:11434/v1", ("smollm3",)),
    LocalAddress("llama.cpp", "http://localhost:8080/v1"),
)


class LocalModels:
    """Looks at the usual addresses and remembers for 30 s what answered there.

    `clock` gives monotonic seconds.
    """

    def __init__(
        self,
        addresses: tuple[LocalAddress, ...] = USUAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._addresses = addresses
        self._clock = clock
        self._found: tuple[ModelEndpoint, ...] = ()
        self._good_until: float | None = None
        self._looking = asyncio.Lock()

    async def endpoints(self) -> tuple[ModelEndpoint, ...]:
        """What answers as a model server now, in the order of the addresses; never raises."""
        async with self._looking:
            if self._good_until is None or self._clock() >= self._good_until:
                looks = await asyncio.gather(*(_look(address) for address in self._addresses))
                self._found = tuple(endpoint for endpoint in looks if endpoint)
                self._good_until = self._clock() + KEEP_SECONDS
                log.debug("models.looked", found=[endpoint.name for endpoint in self._found])
            return self._found


async def _look(address: LocalAddress) -> ModelEndpoint | None:
    endpoint = ModelEndpoint(name=address.name, base_url=address.base_url)
    try:
        async with asyncio.timeout(LOOK_SECONDS), connection(endpoint) as http:
            reply = await exchange(http, "GET", "models")
            # 8080 is every web server's port: what is no list of models is none.
            listing = Listing.model_validate_json(reply.body if reply.status == 200 else b"")
            listing = await with_tags(http, endpoint, listing)
    except (httpx2.HTTPError, ValidationError, TimeoutError):
        return None
    model, *others = listing.candidates(endpoint, address.prefers) or ("",)
    return endpoint.model_copy(update={"model": model, "others": tuple(others)}) if model else None
