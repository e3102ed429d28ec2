"""`python -m tests.layers`: builds what the images of the test Spaces share, while other tests run.

Each version of Gradio takes about a minute to install, and the engine's builder keeps the layer: whatever
is built on it later finds it there.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.apps import Apps
from tests.compat.case import VERSIONS

USUAL = ("6.31.0", "5.50.0", "3.50.2", "4.8.0")
"""One version of each protocol, and the two newest: those that `make test` runs on."""

MODELS = {"sentiment": "6.31.0", "ocr": "6.31.0", "transcribe": "5.50.0", "summarise": "6.31.0"}
"""Spaces with models of their own, whose packages take long to install too, and the version of each."""


async def build(versions: tuple[str, ...]) -> None:
    """Build the smallest Space on each version, one after another: the machine has other work."""
    with TemporaryDirectory() as folder:
        apps = await asyncio.to_thread(Apps, Path(folder))
        try:
            for version in versions:
                await asyncio.to_thread(apps.build, "g-interface", version)
            for name, version in MODELS.items():
                await asyncio.to_thread(apps.build, name, version)
        finally:
            await asyncio.to_thread(apps.close)


if __name__ == "__main__":
    # A shell that runs it in the background has it ignore interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    asyncio.run(build(VERSIONS if "--all-versions" in sys.argv else USUAL))
