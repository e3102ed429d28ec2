"""A catalogue on a double of the Hub that has some Spaces, for its tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.hub import HubDouble

from spacedock_worker.hub.catalogue import Catalogue
from spacedock_worker.images.settings import ImageSettings

SHA = "a" * 40
README = "---\nsdk: gradio\n---\n# Listen\nSet the secret MY_API_KEY in the settings.\n"
APP = (
    'import os\ntoken = os.environ["HF_TOKEN"]\nport = os.getenv("PORT")\nkey = os.getenv("OPENAI_API_KEY")\n'
)


class Clock:
    """A clock that is turned by hand."""

    def __init__(self) -> None:
        self.time = 1_700_000_000.0

    def __call__(self) -> float:
        return self.time


def filled() -> HubDouble:
    """A Hub with two Spaces that transcribe, one that paints, and a page."""
    hub = HubDouble()
    add(hub, "ann/listen", "Transcribe speech to text", "Speech Recognition", likes=120)
    add(hub, "bob/listen-too", "Transcribe speech quickly", "Speech Recognition", likes=3)
    add(hub, "cat/page", "Transcribe speech on a page", "Speech Recognition", sdk="static")
    add(hub, "dan/paint", "Generate an image from text", "Image Generation", likes=9)
    return hub


def add(hub: HubDouble, hub_id: str, description: str, ai_category: str, **more: Any) -> None:
    said = {
        "sdk": "gradio",
        "likes": 0,
        "private": False,
        "tags": ["gradio", "region:us"],
        "runtime": {"stage": "RUNNING", "hardware": {"current": "cpu-basic", "requested": "cpu-basic"}},
        "lastModified": "2026-05-04T03:02:01.000Z",
        "subdomain": hub_id.replace("/", "-"),
        "ai_short_description": description,
        "ai_category": ai_category,
        "cardData": {"title": hub_id.partition("/")[2], "short_description": description, "license": "mit"},
    }
    hub.add(hub_id, SHA, {"README.md": README, "app.py": APP}, **said | more)


def again(settings: ImageSettings, folder: Path, clock: Clock, **changes: Any) -> Catalogue:
    """The catalogue of another start of the worker on the same state directory."""
    return Catalogue(settings.model_copy(update=changes), folder, clock, pause=0.01)
