"""Language models over OpenAI-compatible endpoints: Tier 1 and the system default."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spacedock.lazy import lazily

if TYPE_CHECKING:
    from spacedock_worker.models.client import ModelAnswer, Models
    from spacedock_worker.models.endpoint import ModelEndpoint
    from spacedock_worker.models.local import USUAL, LocalAddress, LocalModels
    from spacedock_worker.models.messages import refusal

__all__ = ["USUAL", "LocalAddress", "LocalModels", "ModelAnswer", "ModelEndpoint", "Models", "refusal"]

# The daemon needs the settings alone.
__getattr__ = lazily(
    __name__,
    {
        "client": (
            "ModelAnswer",
            "Models",
        ),
        "endpoint": ("ModelEndpoint",),
        "local": (
            "USUAL",
            "LocalAddress",
            "LocalModels",
        ),
        "messages": ("refusal",),
    },
)
