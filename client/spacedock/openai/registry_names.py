"""The names that a model may have, as the registry and the configuration have them now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress

from spacedock.client import Client
from spacedock.errors import BadRequestError
from spacedock.openai.model_names import TASKS, ApiRoute, ModelNames


async def registry_names(
    client: Client,
    aliases: Mapping[str, str],
    *,
    routes: Iterable[ApiRoute] = tuple(TASKS),
    strict: bool = False,
) -> ModelNames:
    """Ask a worker for its Spaces, and which of them does the task of each of the routes.

    Each route with a task may take seconds, as the engine is asked, too. Raises NoWorkerError.
    """
    listed = await client.spaces.list()
    specialists: dict[ApiRoute, str] = {}
    for route, task in ((route, TASKS[route]) for route in routes if route in TASKS):
        with suppress(BadRequestError):
            found = (await client.spaces.recommend(task.replace("-", " "), limit=1))["spaces"]
            if found and found[0]["fits"]:
                specialists[route] = found[0]["name"]
    rows = listed.spaces
    spaces = {str(row["hub_id"]): name for name, row in rows.items() if row.get("hub_id")}
    spaces |= {name: name for name in rows}
    categories = frozenset(str(row["category"]) for row in rows.values() if row.get("category"))
    return ModelNames(aliases, spaces, categories, specialists, strict)
