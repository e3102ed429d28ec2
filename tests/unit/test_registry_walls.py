"""Adding a Space of a name that is there: the host's walls stay, and other code is asked for by a word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.control_calls import registry_calls, silent

from spacedock._wire.connection import connect
from spacedock._wire.rpc import Call, Op, Reply
from spacedock.files import payload_of
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.registry.file import Registry

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
  plain:
    id: plain
    hub_id: ann/listen
  broken:
    id: broken
    netwrk: false
"""


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    registry = Registry(tmp_path / "registry.yaml")
    registry.path.write_text(FILE)
    return registry


async def add(registry: Registry, name: str, entry: dict[str, Any], **options: bool) -> Reply:
    calls = registry_calls(registry, registry.path.parent / "repositories")
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
    assert "# By hand." in registry.path.read_text()


async def test_other_code_keeps_the_walls_and_nothing_else(registry: Registry) -> None:
    reply = await add(registry, "walled", {"docker_image": "other:1"}, replace=True)
    entry = registry.snapshot().get("walled")
    assert (reply.error, walls(entry)) == (None, WALLS)
    assert (entry.docker_image, entry.endpoint) == ("other:1", None)


async def test_other_code_keeps_the_words_about_the_space(registry: Registry) -> None:
    words = {"description": "Hears", "category": "audio_processing", "input_type": "audio"}
    assert (await add(registry, "plain", words)).error is None
    assert (await add(registry, "plain", {"docker_image": "other:1"}, replace=True)).error is None
    entry = registry.snapshot().get("plain")
    assert (entry.description, entry.category, entry.input_type) == tuple(words.values())
    assert (entry.docker_image, entry.hub_id) == ("other:1", None)


async def test_an_update_changes_the_code_and_keeps_the_rest(registry: Registry) -> None:
    reply = await add(registry, "walled", {"docker_image": "mood:2", "cpus": 2}, update=True)
    entry = registry.snapshot().get("walled")
    assert (reply.error, reply.data["other_code"], walls(entry)) == (None, True, WALLS)
    assert (entry.docker_image, entry.endpoint, entry.cpus) == ("mood:2", "/tell", 2)


async def test_an_update_changes_variables_one_by_one(registry: Registry) -> None:
    assert (await add(registry, "plain", {"env": {"A": 1, "B": True}}, update=True)).error is None
    assert (await add(registry, "plain", {"env": {"A": "2"}}, update=True)).error is None
    assert registry.snapshot().get("plain").env == {"A": "2", "B": "true"}


async def test_an_update_lowers_no_wall_and_leaks_no_secret(registry: Registry) -> None:
    assert "memory can only be changed" in (
        (await add(registry, "walled", {"memory": "1GB"}, update=True)).error or ""
    )
    assert "has secrets" in (
        (await add(registry, "guarded", {"docker_image": "x:1"}, update=True)).error or ""
    )
    assert registry.path.read_text() == FILE


async def test_what_is_not_there_cannot_be_updated(registry: Registry) -> None:
    assert (await add(registry, "nobody", {"memory": "1GB"}, update=True)).not_found


@pytest.mark.parametrize("entry", [{"docker_image": "evil:1"}, {"hub_id": "eve/x"}, {"command": ["sh"]}])
async def test_other_code_has_to_be_asked_for(registry: Registry, entry: dict[str, Any]) -> None:
    reply = await add(registry, "walled", entry)
    assert "is there already, with other code. Replace it with --replace" in (reply.error or "")
    assert registry.path.read_text() == FILE


@pytest.mark.parametrize(
    "entry",
    [{"network": True}, {"cache": True}, {"memory": "4GB"}, {"gpu": "auto"}, {"gpu": 1}, {"gpu": ["0"]}],
)
@pytest.mark.parametrize("replace", [True, False])
async def test_no_client_lowers_a_wall_of_the_host(
    registry: Registry, entry: dict[str, Any], replace: bool
) -> None:
    reply = await add(registry, "walled", entry, replace=replace)
    assert f"{next(iter(entry))} can only be changed so in the registry's file" in (reply.error or "")
    assert registry.path.read_text() == FILE


async def test_a_client_may_make_a_wall_higher(registry: Registry) -> None:
    assert (await add(registry, "plain", {"network": False, "memory": "1GB"})).error is None
    assert (await add(registry, "plain", {"memory": "256MB"})).error is None
    assert (await add(registry, "plain", {"memory": "512MB"})).error is not None
    entry = registry.snapshot().get("plain")
    assert (entry.network, entry.memory, entry.hub_id) == (False, 256 * 2**20, "ann/listen")


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
    assert registry.path.read_text() == FILE


async def test_words_about_a_space_with_secrets_may_change(registry: Registry) -> None:
    assert (await add(registry, "guarded", {"description": "Tells more"})).error is None
    entry = registry.snapshot().get("guarded")
    assert (entry.description, list(entry.secrets)) == ("Tells more", ["TOKEN"])


async def test_an_entry_that_cannot_be_read_is_not_replaced(registry: Registry) -> None:
    reply = await add(registry, "broken", {"docker_image": "mood:1"}, replace=True)
    assert "the registry's entry of 'broken' cannot be used" in (reply.error or "")
    assert registry.path.read_text() == FILE


@pytest.mark.parametrize("hub_id", ["./mood", "../x", "a/..", "a/.b", "a b/c", "a/b/c", "ä/b", "a/b\n"])
async def test_what_is_no_hub_id_is_refused(registry: Registry, hub_id: str) -> None:
    assert "not a Space of the Hub" in ((await add(registry, "new", {"hub_id": hub_id})).error or "")


def test_no_name_of_the_registry_is_like_that_of_a_jobs_own_space(registry: Registry) -> None:
    registry.path.write_text("spaces:\n  ./mood@0123: {docker_image: a}\n")
    snapshot = registry.snapshot()
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
    calls = registry_calls(registry, registry.path.parent / "repositories")
    ref = payload_of("hear.tar", b"x").ref
    async with connect("unix:///nowhere") as redis:
        reply = await calls.answer(Call(id="1", op=Op.ADD, name="ann/hear", repository=ref), redis, silent)
    assert reply.error is not None
    assert "a repository" in reply.error


async def remove(registry: Registry, name: str) -> Reply:
    calls = registry_calls(registry, registry.path.parent / "repositories")
    async with connect("unix:///nowhere") as redis:
        return await calls.answer(Call(id="1", op=Op.REMOVE, name=name), redis, silent)


@pytest.mark.parametrize(
    "field",
    [
        "network: false",
        "cache: false",
        "runtime: runsc",
        "writable_root: false",
        "memory: 512MB",
        "cpus: 0.5",
        "start_timeout: 10",
        "secrets: [TOKEN]",
        "auth: {username: a, password: xyzzy}",
    ],
)
async def test_an_entry_with_walls_is_not_removed_by_a_client(registry: Registry, field: str) -> None:
    registry.path.write_text(f"spaces:\n  one:\n    id: one\n    hub_id: ann/listen\n    {field}\n")
    reply = await remove(registry, "one")
    assert reply.error is not None
    assert field.partition(":")[0] in reply.error
    assert "the registry's file on the host" in reply.error
    assert "xyzzy" not in reply.error
    assert "one" in registry.snapshot().spaces
    registry.remove("one")
    assert registry.snapshot().spaces == {}


async def test_an_entry_without_walls_is_removed(registry: Registry) -> None:
    assert (await remove(registry, "plain")).error is None
    assert "plain" not in registry.snapshot().spaces
