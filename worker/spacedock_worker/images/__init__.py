"""From a Space to an image on this host: present, pulled, or built from the Space's repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spacedock.lazy import lazily

if TYPE_CHECKING:
    from spacedock_worker.images.build.flavours import lacks_full
    from spacedock_worker.images.images import Images
    from spacedock_worker.images.pulls import Pulled
    from spacedock_worker.images.settings import ImageSettings
    from spacedock_worker.images.source import Image, SpaceSource

__all__ = ["Image", "ImageSettings", "Images", "Pulled", "SpaceSource", "lacks_full"]

# The daemon needs the settings alone.
__getattr__ = lazily(
    __name__,
    {
        "build.flavours": ("lacks_full",),
        "images": ("Images",),
        "pulls": ("Pulled",),
        "settings": ("ImageSettings",),
        "source": (
            "Image",
            "SpaceSource",
        ),
    },
)
