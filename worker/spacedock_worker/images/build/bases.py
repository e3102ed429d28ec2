"""Which base image a Space is built on, by the version of Python that it declares (pure)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from spacedock_worker.images.oci.reference import familiar

HUB_PYTHON = "3.10"
"""The Python that the Hub takes where a Space declares none."""

_VERSION = re.compile(r"(\d+)\.(\d+)")
_LOCAL = re.compile(r"(?:spacedock/python:(\d+\.\d+)|python:(\d+\.\d+)-slim)")


def choose_base(declared: str | None, configured: Mapping[str, str], present: Collection[str]) -> str:
    """The reference of the base image for the declared Python version ("3.11", "3.11.4"; None: undeclared).

    A declared version is taken from `configured`, else the local `spacedock/python`, else Docker Hub's
    `python:…-slim`. With none declared, an image that is `present` wins over one to pull: the one nearest
    to the Hub's default. A local image is called as the engine calls it.
    """
    names = {familiar(reference): reference for reference in present}
    if version := minor(declared):
        return _for_version(version, configured, names)
    default = _for_version(HUB_PYTHON, configured, names)
    if familiar(default) in names:
        return default
    local = [(_distance(v), reference) for v, reference in _local(configured, names) if minor(v)]
    return min(local)[1] if local else default


def minor(version: str | None) -> str | None:
    """The "3.11" of "3.11.4", "python3.11"; None where there is no such thing in it."""
    found = _VERSION.search(version or "")
    return f"{found.group(1)}.{found.group(2)}" if found else None


def _for_version(version: str, configured: Mapping[str, str], names: Mapping[str, str]) -> str:
    """The reference; `names` are those of the images on this host, by their familiar ones."""
    if version in configured:
        return configured[version]
    hub = f"python:{version}-slim"
    return names.get(f"spacedock/python:{version}") or names.get(hub, hub)


def _local(configured: Mapping[str, str], names: Mapping[str, str]) -> list[tuple[str, str]]:
    own = [(version, reference) for version, reference in configured.items() if familiar(reference) in names]
    if own:
        return own
    found = ((_LOCAL.fullmatch(short), reference) for short, reference in names.items())
    return [(match.group(1) or match.group(2), reference) for match, reference in found if match]


def _distance(version: str) -> int:
    major, _, small = (minor(version) or "0.0").partition(".")
    ours, _, default = HUB_PYTHON.partition(".")
    return abs(int(major) - int(ours)) * 1000 + abs(int(small) - int(default))
