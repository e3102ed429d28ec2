"""Apps with a JSON API: described by OpenAPI, or called by a template of the registry."""

from spacedock_worker.adapters.openapi.adapter import OpenApiAdapter
from spacedock_worker.adapters.openapi.template import Template

__all__ = ["OpenApiAdapter", "Template"]
