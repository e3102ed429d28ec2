"""Which base image a Space is built on (pure)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

HUB_PYTHON = "3.10"
"""The Python that the Hub takes where a Space declares none."""

_VERSION = re.compile(r"(\d+)\.(\d+)")
_LOCAL = re.compile(r"(?:spacedock/python:(\d+\.\d+)|python:(\d+\.\d+)-slim)")


def choose_base(declared: str | None, configured: Mapping[str, str], present: Collection[str]) -> str:
    """The reference of the base image for the declared Python version ("3.11", "3.11.4"; None: undeclared).

    A declared version is taken from `configured`, else the local `spacedock/python`, else Docker Hub's
    `python:…-slim`. With none declared, an image that is `present` wins over one to pull: the one nearest
    to the Hub's default.
    """
    if version := minor(declared):
        return _for_version(version, configured, present)
    default = _for_version(HUB_PYTHON, configured, present)
    if default in present:
        return default
    local = [(_distance(v), reference) for v, reference in _local(configured, present) if minor(v)]
    return min(local)[1] if local else default


def minor(version: str | None) -> str | None:
    """The "3.11" of "3.11.4", "python3.11"; None where there is no such thing in it."""
    found = _VERSION.search(version or "")
    return f"{found.group(1)}.{found.group(2)}" if found else None


def _for_version(version: str, configured: Mapping[str, str], present: Collection[str]) -> str:
    if version in configured:
        return configured[version]
    local = f"spacedock/python:{version}"
    return local if local in present else f"python:{version}-slim"


def _local(configured: Mapping[str, str], present: Collection[str]) -> list[tuple[str, str]]:
    own = [(version, reference) for version, reference in configured.items() if reference in present]
    if own:
        return own
    found = ((_LOCAL.fullmatch(reference), reference) for reference in present)
    return [(match.group(1) or match.group(2), reference) for match, reference in found if match]


def _distance(version: str) -> int:
    major, _, small = (minor(version) or "0.0").partition(".")
    ours, _, default = HUB_PYTHON.partition(".")
    return abs(int(major) - int(ours)) * 1000 + abs(int(small) - int(default))
