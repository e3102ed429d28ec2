"""Adding a Space of a name that is there: what the host's file says stays, and other code is asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.control_calls import registry_calls, silent
from tests.registries import host

from spacedock._wire.connection import connect
from spacedock._wire.rpc import Call, Op, Reply
from spacedock.files import payload_of
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.registry.registry import Registry

FILE = """\
spaces:
  # By hand.
  walled:
    id: walled
    docker_image: mood:1
    network: false
    cache: false
    runtime: runsc
    memory: 512MB
    gpu: none
    endpoint: /tell
  guarded:
    id: guarded
    docker_image: mood:1
    description: Tells the mood
    secrets: [TOKEN]
  broken:
    id: broken
    netwrk: false
"""

SHARED = {"docker_image": "mood:1", "network": False, "memory": "512MB", "endpoint": "/tell"}


@pytest.fixture
async def registry(tmp_path: Path, redis_url: str) -> AsyncIterator[Registry]:
    (tmp_path / "registry.yaml").write_text(FILE)
    async with host(tmp_path, redis_url) as registry:
        assert (await add(registry, "shared", SHARED)).error is None
        yield registry
        assert registry.path.read_text() == FILE


async def add(registry: Registry, name: str, entry: dict[str, Any], **options: bool) -> Reply:
    calls = registry_calls(registry)
    call = Call(id="1", op=Op.ADD, name=name, entry=entry, options=options)
    async with connect("unix:///nowhere") as redis:
        return await calls.answer(call, redis, silent)


def walls(entry: SpaceEntry) -> tuple[object, ...]:
    return entry.network, entry.cache, entry.runtime, entry.memory, entry.gpu


WALLS = (False, False, "runsc", 512 * 2**20, "none")


async def test_an_entry_that_is_added_again_keeps_its_walls_and_what_is_not_named(registry: Registry) -> None:
    reply = await add(registry, "walled", {"docker_image": "mood:1", "description": "Tells"})
    entry = registry.snapshot().get("walled")
    assert (reply.error, walls(entry)) == (None, WALLS)
    assert (entry.endpoint, entry.description) == ("/tell", "Tells")


async def test_other_code_keeps_the_walls_and_the_words_about_the_space(registry: Registry) -> None:
    words = {"description": "Hears", "category": "audio_processing", "input_type": "audio"}
    assert (await add(registry, "shared", words)).error is None
    assert (await add(registry, "shared", {"docker_image": "other:1"}, replace=True)).error is None
    entry = registry.snapshot().get("shared")
    assert (entry.description, entry.category, entry.input_type) == tuple(words.values())
    assert (entry.docker_image, entry.endpoint) == ("other:1", None)
    assert (entry.network, entry.memory) == (False, 512 * 2**20)


async def test_an_update_changes_the_code_and_keeps_the_rest(registry: Registry) -> None:
    reply = await add(registry, "shared", {"docker_image": "mood:2", "cpus": 2}, update=True)
    entry = registry.snapshot().get("shared")
    assert (reply.error, reply.data["other_code"], entry.network) == (None, True, False)
    assert (entry.docker_image, entry.endpoint, entry.cpus) == ("mood:2", "/tell", 2)


async def test_an_update_changes_variables_one_by_one(registry: Registry) -> None:
    assert (await add(registry, "shared", {"env": {"A": 1, "B": True}}, update=True)).error is None
    assert (await add(registry, "shared", {"env": {"A": "2"}}, update=True)).error is None
    assert registry.snapshot().get("shared").env == {"A": "2", "B": "true"}


async def test_limits_of_the_catalogue_are_changed_by_who_may_change_it(registry: Registry) -> None:
    assert (await add(registry, "shared", {"memory": "4GB"}, update=True)).error is None
    assert registry.snapshot().get("shared").memory == 4 * 2**30


async def test_what_is_not_there_cannot_be_updated(registry: Registry) -> None:
    assert (await add(registry, "nobody", {"memory": "1GB"}, update=True)).not_found


@pytest.mark.parametrize("entry", [{"docker_image": "evil:1"}, {"hub_id": "eve/x"}, {"command": ["sh"]}])
async def test_other_code_has_to_be_asked_for(registry: Registry, entry: dict[str, Any]) -> None:
    reply = await add(registry, "shared", entry)
    assert "is there already, with other code. Replace it (`replace`)" in (reply.error or "")


@pytest.mark.parametrize(
    "entry",
    [{"network": True}, {"cache": True}, {"memory": "4GB"}, {"docker_image": "x:1"}, {"env": {"A": "b"}}],
)
@pytest.mark.parametrize("replace", [True, False])
async def test_no_client_changes_what_the_hosts_file_says(
    registry: Registry, entry: dict[str, Any], replace: bool
) -> None:
    reply = await add(registry, "walled", entry, replace=replace, update=not replace)
    assert next(iter(entry)) in (reply.error or "")
    assert "can only be changed in the registry's file on the host" in (reply.error or "")
    assert walls(registry.snapshot().get("walled")) == WALLS


@pytest.mark.parametrize(
    "entry",
    [
        {"docker_image": "evil:1"},
        {"hub_id": "eve/x"},
        {"command": ["sh", "-c", "env"]},
        {"env": {"HTTPS_PROXY": "http://eve"}},
        {"endpoint": "/leak"},
        {"port": 1},
    ],
)
async def test_no_other_code_runs_with_the_secrets_of_a_space(
    registry: Registry, entry: dict[str, Any]
) -> None:
    reply = await add(registry, "guarded", entry, replace=True)
    assert "'guarded' has secrets or a login: " in (reply.error or "")


async def test_words_about_a_space_with_secrets_may_change(registry: Registry) -> None:
    assert (await add(registry, "guarded", {"category": "moods"})).error is None
    entry = registry.snapshot().get("guarded")
    assert (entry.category, list(entry.secrets)) == ("moods", ["TOKEN"])


async def test_an_entry_that_cannot_be_read_is_not_replaced(registry: Registry) -> None:
    reply = await add(registry, "broken", {"docker_image": "mood:1"}, replace=True)
    assert "the registry's entry of 'broken' cannot be used" in (reply.error or "")


@pytest.mark.parametrize("hub_id", ["./mood", "../x", "a/..", "a/.b", "a b/c", "a/b/c", "ä/b", "a/b\n"])
async def test_what_is_no_hub_id_is_refused(registry: Registry, hub_id: str) -> None:
    assert "not a Space of the Hub" in ((await add(registry, "new", {"hub_id": hub_id})).error or "")


def test_no_name_of_the_registry_is_like_that_of_a_jobs_own_space(tmp_path: Path) -> None:
    (tmp_path / "registry.yaml").write_text("spaces:\n  ./mood@0123: {docker_image: a}\n")
    snapshot = Registry(tmp_path / "registry.yaml").snapshot()
    assert (snapshot.spaces, len(snapshot.warnings)) == ({}, 1)


@pytest.mark.parametrize(
    "entry",
    [
        {"docker_image": "evil:1"},
        {"hub_id": "eve/x"},
        {"hub_id": "ann/hear", "command": ["sh"]},
        {"hub_id": "ann/hear", "env": {"A": "b"}},
        {"hub_id": "ann/hear", "subdomain": "eve-x"},
        {"hub_id": "ann/hear", "operation": {"path": "/x"}},
    ],
)
async def test_no_other_code_goes_by_the_id_of_a_space_of_the_hub(
    registry: Registry, entry: dict[str, Any]
) -> None:
    reply = await add(registry, "ann/hear", entry)
    assert reply.error is not None
    assert "the id of a Space of the Hub" in reply.error
    assert "ann/hear" not in registry.snapshot().spaces
    assert (await add(registry, "ann/hear", {"hub_id": "ann/hear", "endpoint": "/hear"})).error is None
    assert (await add(registry, "ann/hear", entry, replace=True)).error is not None


async def test_a_repository_does_not_go_by_the_id_of_a_space_of_the_hub(registry: Registry) -> None:
    calls = registry_calls(registry)
    ref = payload_of("hear.tar", b"x").ref
    async with connect("unix:///nowhere") as redis:
        reply = await calls.answer(Call(id="1", op=Op.ADD, name="ann/hear", repository=ref), redis, silent)
    assert reply.error is not None
    assert "a repository" in reply.error


async def test_what_the_hosts_file_has_is_not_removed_by_a_client(registry: Registry) -> None:
    async with connect("unix:///nowhere") as redis:
        reply = await registry_calls(registry).answer(
            Call(id="1", op=Op.REMOVE, name="guarded"), redis, silent
        )
    assert "in the registry's file on the host" in (reply.error or "")
    assert "guarded" in registry.snapshot().spaces
