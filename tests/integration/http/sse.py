"""Reading server-sent events, as a browser's EventSource does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp


async def frames(response: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    """The data of each event, with its `id`; those that only set an id have no data ({})."""
    number, data = "", {}
    async for raw in response.content:
        name, _, value = raw.decode().rstrip("\n").partition(": ")
        if name == "id":
            number = value
        elif name == "data":
            data = json.loads(value)
        elif not name and number:
            yield {**data, "number": int(number)}
            number, data = "", {}
