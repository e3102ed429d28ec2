"""Installs, starts and calls minor versions of Gradio: `python -m tests.minors.try_minors [VERSION …]`.

Each goes into a virtual environment of its own, with what a Space's image gets. The row that it came to is
written into docs/compatibility.md at once. `--edges` tries instead what a version is like that lacks one of
its pins: the last one that needs it, and where a pin begins in a range, the first.
"""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.page import as_row, put, put_row

from spacedock.files import payload_of
from spacedock_worker.adapters.base import Adapter, AppCall
from spacedock_worker.adapters.detect import Access, Opener
from spacedock_worker.errors import StepError
from spacedock_worker.images.build.dockerfile import PINS, gradio_packages

EDGES = (
    "3.35.2",
    "3.37.0",
    "3.38.0",
    "3.39.0",
    "3.40.1",
    "3.41.2",
    "3.50.2",
    "4.0.2",
    "4.44.1",
    "5.0.2",
    "5.1.0",
    "5.3.0",
    "5.6.0",
    "5.7.1",
)
FIFTHS = ("3.45.2", "4.5.0", "4.10.0", "4.15.0", "4.20.1", "4.25.0", "4.31.5", "4.35.0", "4.40.0", "5.10.0")
LATER = (
    "5.9.1",
    "5.15.0",
    "5.20.1",
    "5.21.0",
    "5.22.0",
    "5.25.2",
    "5.27.1",
    "5.28.0",
    "5.30.0",
    "5.35.0",
    "5.40.0",
    "5.45.0",
    "5.50.0",
)
NEWEST = ("6.0.2", "6.5.1", "6.10.0", "6.15.2", "6.20.0", "6.25.0", "6.31.0")
WITHOUT = (
    ("3.37.0", "gradio_client<0.3"),
    ("3.40.1", "gradio_client<0.7"),
    ("3.40.1", "pydantic<2"),
    ("3.40.1", "httpx<0.28"),
    ("3.40.1", "numpy<2"),
    ("3.40.1", "altair<6"),
    ("3.41.2", "starlette<1"),
    ("3.41.2", "huggingface_hub<1"),
    ("4.0.2", "pydantic<2.11"),
    ("5.1.0", "starlette<1"),
    ("5.6.0", "huggingface_hub<1"),
    ("5.21.0", "pydantic<2.11"),
)
"""Versions at the edges of the ranges, and the pin that each is tried without."""

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
CALLS = {
    "text": (AppCall("hello", endpoint="/shout"), "HELLO"),
    "image": (AppCall("", (payload_of("dot.png", PIXEL),), endpoint="/size"), "1x1"),
    "file": (AppCall("", (payload_of("a.bin", b"12345"),), endpoint="/count"), "5 bytes"),
}
EDGE_COLUMNS = ("Gradio", "installs", "starts", *CALLS)
COLUMNS = ("Gradio", "held back", *EDGE_COLUMNS[1:])
ALL_WELL = ["yes"] * len(EDGE_COLUMNS[1:])
APP = Path(__file__).with_name("app.py")
START_SECONDS, CALL_SECONDS, INSTALL_SECONDS = 60, 20, 600


def main(arguments: list[str]) -> int:
    """Try the versions; the exit code says whether each answered."""
    if arguments[:1] == ["--edges"]:
        return _edges(arguments[1:])
    put("gradio-ranges", ranges())
    versions = arguments or sorted({*EDGES, *FIFTHS, *LATER, *NEWEST}, key=_order)
    right = True
    for version in versions:
        packages = gradio_packages(version)
        cells = _tried(packages)
        print(version, *cells, flush=True)
        right = right and cells == ALL_WELL
        put_row("gradio-minors", COLUMNS, [version, ", ".join(packages[1:]) or "·", *cells])
    return 0 if right else 1


def ranges() -> str:
    """The table of ranges and their pins, as it stands in docs/compatibility.md."""
    rows, begin = [("Gradio", "held back"), ("---", "---")], "3.35"
    for (major, number), pins in PINS:
        rows.append((f"{begin} to below {major}.{number}", ", ".join(pins)))
        begin = f"{major}.{number}"
    return "\n".join(map(as_row, [*rows, (f"{begin} and later", "·")]))


def _edges(versions: list[str]) -> int:
    for version, pin in WITHOUT:
        if versions and version not in versions:
            continue
        packages = gradio_packages(version)
        cells = _tried(tuple(one for one in packages if one != pin))
        print(version, f"without {pin}", *cells, flush=True)
        put_row("gradio-edges", EDGE_COLUMNS, [f"{version} without {pin}", *cells])
    return 0


def _order(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def _tried(packages: tuple[str, ...]) -> list[str]:
    """The cells from `installs` on."""
    empty = ["·"] * len(CALLS)
    with TemporaryDirectory(prefix="spacedock-gradio-") as folder:
        python = Path(folder, "bin", "python")
        subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=INSTALL_SECONDS)
        install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages, "spaces"]
        if subprocess.run(install, check=False, timeout=INSTALL_SECONDS).returncode:
            return ["NO", "·", *empty]
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        environment = os.environ | {
            "GRADIO_ANALYTICS_ENABLED": "False",
            "GRADIO_TEMP_DIR": folder,
            "HF_HUB_OFFLINE": "1",
        }
        app = subprocess.Popen([python, APP, str(port)], env=environment, cwd=folder)
        try:
            launched = Path(folder, "launched").exists
            return ["yes", *asyncio.run(_asked(app, f"http://127.0.0.1:{port}", launched))]
        finally:
            app.kill()
            app.wait()


async def _asked(app: subprocess.Popen[bytes], url: str, launched: Callable[[], bool]) -> list[str]:
    """The cells from `starts` on."""
    adapter, until = None, time.monotonic() + START_SECONDS
    while not (adapter and launched()) and app.poll() is None and time.monotonic() < until:
        try:
            adapter = adapter or await Opener().connect_to("sha256:minor", Access())(url)
        except StepError:
            adapter = None
        await asyncio.sleep(0.3)
    if adapter is None:
        return ["NO", *["·"] * len(CALLS)]
    try:
        if not launched():
            return ["NO", *["·"] * len(CALLS)]
        return ["yes", *[await _answer(adapter, call, right) for call, right in CALLS.values()]]
    finally:
        await adapter.aclose()


async def _answer(adapter: Adapter, call: AppCall, right: str) -> str:
    try:
        async with asyncio.timeout(CALL_SECONDS):
            answer = await adapter.call(call, lambda *_, **__: None)
    except (StepError, TimeoutError) as error:
        print(f"  {call.endpoint}: {error}", file=sys.stderr)
        return "NO"
    return "yes" if answer.text == right else "NO"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
