"""What a large registry costs others: reading it, and merging the catalogue, leaves the event loop alone."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.control_calls import registry_calls, silent
from tests.registries import declared, host

from spacedock._wire import wire
from spacedock._wire.connection import connect
from spacedock._wire.rpc import Call, Op, Reply
from spacedock_worker.registry import registry as module
from spacedock_worker.registry.catalogue import rendered
from spacedock_worker.registry.record import all_decoded, encoded, record_of
from spacedock_worker.registry.registry import Registry

SPACES = 1500
"""So many that the collector looks through all there is several times while they are read."""


@pytest.fixture
def collected() -> Iterator[list[int]]:
    """The collections of garbage so far, by their generations."""
    found: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            found.append(info["generation"])

    gc.collect()
    gc.callbacks.append(note)
    yield found
    gc.callbacks.remove(note)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    fields = {"docker_image": "many:1", "description": "One of many", "env": {"A": "1", "B": "2"}}
    return declared(tmp_path / "registry.yaml", {f"space-{number}": fields for number in range(SPACES)})


def test_no_garbage_is_looked_for_while_a_large_registry_is_read(large: Path, collected: list[int]) -> None:
    snapshot = Registry(large).snapshot()
    assert len(snapshot.spaces) == SPACES
    # Each stops all threads for as long as it looks through what is there.
    assert {1, 2}.isdisjoint(collected)
    assert gc.isenabled()


def test_no_garbage_is_looked_for_while_a_large_catalogue_is_read_and_written(
    large: Path, collected: list[int]
) -> None:
    records = {name: record_of(entry) for name, entry in Registry(large).snapshot().spaces.items()}
    rows = {name: encoded(record) for name, record in records.items()}
    collected.clear()
    assert all_decoded(rows, {}, {})[0] == records
    rendered(records)
    assert {1, 2}.isdisjoint(collected)


def test_no_garbage_is_looked_for_while_a_long_reply_is_read(collected: list[int]) -> None:
    row = {"id": "x", "takes": ["text"], "env": {"A": ["1"]}}
    raw = wire.encode(Reply(spaces={f"space-{number}": row for number in range(SPACES)}))
    collected.clear()
    assert len(wire.decode(Reply, raw).spaces) == SPACES
    assert {1, 2}.isdisjoint(collected)


def test_whoever_keeps_the_collector_away_is_not_disturbed() -> None:
    gc.disable()
    try:
        with wire.uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


async def test_the_event_loop_merges_no_catalogue(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = list[threading.Thread]()

    def noted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            threads.append(threading.current_thread())
            return function(*args)

        return call

    for name in ("merged", "recoded", "placed"):
        monkeypatch.setattr(module, name, noted(getattr(module, name)))
    async with host(tmp_path, redis_url) as registry, connect(redis_url) as redis:
        call = Call(id="1", op=Op.ADD, name="mood", entry={"docker_image": "m:1"})
        reply = await registry_calls(registry).answer(call, redis, silent)
        assert (reply.error, "mood" in registry.last.spaces) == (None, True)
    assert threads
    assert threading.main_thread() not in threads
