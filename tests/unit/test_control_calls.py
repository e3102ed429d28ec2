"""Sending control calls to the handlers that know them."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from redis.asyncio import Redis

from spacedock._wire.rpc import Call, Op
from spacedock_worker.control.dispatcher import Dispatcher
from spacedock_worker.control.profile import ProfileHandler
from spacedock_worker.profiling.profiles import ProfileStore
from spacedock_worker.registry.registry import Registry


def silent(message: str) -> None:
    pass


async def test_a_registry_that_changed_is_not_read_in_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers = []
    read = Registry._merge

    def noted(registry: Registry) -> None:
        readers.append(threading.current_thread())
        read(registry)

    monkeypatch.setattr(Registry, "_merge", noted)
    registry = Registry(tmp_path / "registry.yaml")
    registry.path.write_text("spaces: {mood: {id: mood}}")
    profile = ProfileHandler(registry, ProfileStore(tmp_path / "profiles.sqlite"), 2**30)
    calls = Dispatcher({Op.PROFILE: profile.answer}, registry.fresh)
    reply = await calls.answer(Call(id="a", op=Op.PROFILE, name="mood"), Redis(), silent)
    assert reply.data["spaces"].keys() == {"mood"}
    assert readers
    assert threading.main_thread() not in readers
