"""What may be a model: Spaces, categories, tiers and aliases, as OpenAI's clients list them (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from spacedock.openai.translation import OWN
from spacedock.request import Tier


def model_rows(spaces: Mapping[str, Mapping[str, Any]], aliases: Mapping[str, str]) -> list[dict[str, Any]]:
    """The rows of GET /v1/models; `spaces` are the registry's entries by name."""
    return [*_rows(spaces, aliases)]


def _rows(spaces: Mapping[str, Mapping[str, Any]], aliases: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for tier in Tier:
        yield _row(tier.value, "tier", {})
    for category in sorted({str(entry["category"]) for entry in spaces.values() if entry.get("category")}):
        yield _row(category, "category", {})
    for name, entry in spaces.items():
        yield _row(
            name,
            "space",
            {
                "description": entry.get("description"),
                "category": entry.get("category"),
                "modalities": {"input": entry.get("input_type"), "output": entry.get("output_type")},
                "status": entry.get("status"),
            },
        )
    for alias, name in aliases.items():
        yield _row(alias, "alias", {"means": name})


def _row(id_: str, kind: str, own: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": id_, "object": "model", "created": 0, "owned_by": OWN, OWN: {"kind": kind, **own}}
