"""For tests of programs that use Spacedock: a client that needs no queue, no worker and no Docker."""

from __future__ import annotations

from spacedock.testing.in_memory import InMemoryClient

__all__ = ["InMemoryClient"]
