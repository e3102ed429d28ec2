"""What a Space's cache volume is called, and how it is marked (pure)."""

from __future__ import annotations

import hashlib
import re

from spacedock_worker.containers.body import OWNER_LABEL, SPACE_LABEL

_SLUG_LENGTH = 40


def volume_name(owner: str, space: str) -> str:
    """The volume's name: the same for one Space of one daemon, and for no other."""
    slug = re.sub(r"[^a-z0-9]+", "-", space.lower()).strip("-")[:_SLUG_LENGTH] or "space"
    return f"spacedock-{owner}-{slug}-{hashlib.sha256(space.encode()).hexdigest()[:8]}"


def volume_labels(owner: str, space: str) -> dict[str, str]:
    """The labels by which the volume is found again."""
    return {OWNER_LABEL: owner, SPACE_LABEL: space}
