"""What a new entry of the registry does not say: inferred from its name, its description, and the Hub."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog

from spacedock_worker.hub.catalogue import Catalogue, entry_of
from spacedock_worker.hub.categories import Clues, infer
from spacedock_worker.hub.kinds import UNKNOWN
from spacedock_worker.images.hub_errors import HubError

log = structlog.get_logger()

Complete = Callable[[str, Mapping[str, Any]], Awaitable[dict[str, Any]]]
"""Gives for a name and the fields that a person gave all fields of the entry."""

_SECONDS = 4.0
_TOLD = ("description", "subdomain", "hardware", "tags", "likes")


def guessed(name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with a category, and types, by the name and the description; what is given stays."""
    if "category" in fields:
        return dict(fields)
    hub_id, description = fields.get("hub_id"), str(fields.get("description") or "")
    guess = infer(Clues(str(hub_id or name), f"{name}. {description}" if hub_id else description))
    types = {"input_type": guess.input_type, "output_type": guess.output_type} if guess.sure else {}
    return {"category": guess.category, "confidence": guess.confidence, **types, **fields}


def completing(catalogue: Catalogue) -> Complete:
    """A `Complete` that asks the Hub about Spaces of the Hub; where it is silent, the name has to do."""

    async def complete(name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        hub_id = fields.get("hub_id")
        own = guessed(name, fields)
        if not isinstance(hub_id, str):
            return own
        try:
            space, _ = await catalogue.about(hub_id, whole=False, seconds=_SECONDS)
        except HubError as error:
            log.info("space.not_completed", space=name, reason=str(error))
            return own
        said = entry_of(space)
        told = {key: said[key] for key in _TOLD if said.get(key)}
        if "category" in fields or own["confidence"] >= space.confidence:
            return told | own
        types = {key: said[key] for key in ("input_type", "output_type") if said[key] != UNKNOWN}
        return told | types | {"category": space.category, "confidence": space.confidence} | dict(fields)

    return complete
