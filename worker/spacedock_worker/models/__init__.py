"""Language models over OpenAI-compatible endpoints: Tier 1 and the system default."""

from spacedock_worker.models.client import ModelAnswer, Models
from spacedock_worker.models.endpoint import ModelEndpoint
from spacedock_worker.models.local import USUAL, LocalAddress, LocalModels
from spacedock_worker.models.messages import refusal

__all__ = ["USUAL", "LocalAddress", "LocalModels", "ModelAnswer", "ModelEndpoint", "Models", "refusal"]
