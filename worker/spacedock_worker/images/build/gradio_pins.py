"""What each range of Gradio's versions needs held back, as `make test-gradio-minors` found it (pure)."""

from __future__ import annotations

import re

_VERSION = re.compile(r"\d+(?:\.\d+)*[0-9A-Za-z.+!-]*")

_OLD = ("starlette<1", "pydantic<2", "huggingface_hub<1", "httpx<0.28", "numpy<2", "altair<6")

PINS: tuple[tuple[tuple[int, int], tuple[str, ...]], ...] = (
    # Until 3.40 the client's version is open too; its serializers went with 0.7, and changed with 0.3.
    ((3, 38), (*_OLD, "gradio_client<0.3")),
    ((3, 41), (*_OLD, "gradio_client<0.7")),
    ((4, 0), ("starlette<1", "huggingface_hub<1")),
    # From 5.3 on Gradio holds starlette back itself; else its page fails, and it ends after its start.
    ((5, 3), ("starlette<1", "huggingface_hub<1", "pydantic<2.11")),
    ((5, 7), ("huggingface_hub<1", "pydantic<2.11")),
    ((5, 22), ("pydantic<2.11",)),
)
"""Ranges in order, each below the version that it is given with: releases of Gradio leave their dependencies
open upwards, and later ones broke them. What is in no range runs as it is."""


def gradio_packages(sdk_version: str | None) -> tuple[str, ...]:
    """The requirement of Gradio in that version (None: the newest) and what it needs held back.

    Raises ValueError where `sdk_version` is no version.
    """
    if sdk_version is None:
        return ("gradio[oauth,mcp]",)
    if not _VERSION.fullmatch(sdk_version):
        raise ValueError(f"sdk_version {sdk_version!r} is no version")
    numbers = [int(part) for part in re.findall(r"\d+", sdk_version)[:2]]
    release = (numbers[0], numbers[1] if len(numbers) > 1 else 0)
    held = next((pins for below, pins in PINS if release < below), ())
    return (f"gradio{_extras(release)}=={sdk_version}", *held)


def _extras(release: tuple[int, int]) -> str:
    """Signing in with Hugging Face came with 4, and MCP with 5.28; pip warns where there is none."""
    if release < (4, 0):
        return ""
    return "[oauth]" if release < (5, 28) else "[oauth,mcp]"
