"""From a Space to an image on this host: present, pulled, or built from the Space's repository."""

from spacedock_worker.images.images import Images
from spacedock_worker.images.pulls import Pulled
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.images.source import Image, SpaceSource

__all__ = ["Image", "ImageSettings", "Images", "Pulled", "SpaceSource"]
