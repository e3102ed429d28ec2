"""All calls to the Gradio test Spaces: what an adapter must do, and what gradio_client brings."""

from __future__ import annotations

from tests.compat.case import VERSIONS, Case, Official, Upload
from tests.compat.media import DATA, FILES, PICTURES, SOUNDS
from tests.compat.queues import CALLS
from tests.compat.texts import CHATS, FORMS

__all__ = ["VERSIONS", "Case", "Official", "Upload", "cases"]


def cases() -> tuple[Case, ...]:
    """Every case, by kinds."""
    return (*FORMS, *CHATS, *CALLS, *FILES, *PICTURES, *SOUNDS, *DATA)
