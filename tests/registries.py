"""Registries for tests: what a host's file declares, over a catalogue in a real Valkey."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from spacedock._wire.connection import connect
from spacedock_worker.atomic_write import write_whole
from spacedock_worker.registry.catalogue import CatalogueStore
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.registry.registry import Registry


def declared(path: Path, spaces: Mapping[str, Mapping[str, Any]]) -> Path:
    """Write a registry.yaml with these Spaces."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = {name: {"id": name, **fields} for name, fields in spaces.items()}
    path.write_text(yaml.safe_dump({"spaces": rows}, sort_keys=False), encoding="utf-8")
    return path


def declare(registry: Registry, name: str, fields: Mapping[str, Any] | None) -> SpaceEntry:
    """Have a person write a Space into the file, or take it out (None); what the entry is now, or was."""
    document = yaml.safe_load(registry.path.read_text()) if registry.path.exists() else None
    spaces = (document or {}).get("spaces") or {}
    entry = registry.snapshot().spaces.get(name)
    if fields is None:
        del spaces[name]
    else:
        spaces[name] = {"id": name, **fields}
    text = yaml.safe_dump({**(document or {}), "spaces": spaces}, sort_keys=False)
    write_whole(registry.path, text.encode())
    return registry.snapshot().spaces[name] if entry is None or fields is not None else entry


@asynccontextmanager
async def host(folder: Path, url: str, default: str = "") -> AsyncIterator[Registry]:
    """The registry of a host whose files are in the folder, caught up with the catalogue at `url`."""
    os.makedirs(folder, exist_ok=True)
    async with connect(url) as redis:
        registry = Registry(folder / "registry.yaml", default, CatalogueStore(redis))
        await registry.caught_up()
        yield registry
