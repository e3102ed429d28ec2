"""Adding, changing and removing Spaces: what a client may say, and where it is kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.control_calls import registry_calls, silent
from tests.registries import declared, host

from spacedock._stores.payloads import Payloads
from spacedock._wire.connection import connect
from spacedock._wire.rpc import Call, Op, Reply
from spacedock.files import payload_of
from spacedock_worker.control.dispatcher import Dispatcher
from spacedock_worker.hub.kinds import KINDS
from spacedock_worker.registry.entry import TYPES
from spacedock_worker.registry.host_file import shipped
from spacedock_worker.registry.registry import Registry


@pytest.fixture
async def registry(tmp_path: Path, redis_url: str) -> AsyncIterator[Registry]:
    async with host(tmp_path, redis_url) as registry:
        yield registry


@pytest.fixture
def calls(registry: Registry) -> Dispatcher:
    return registry_calls(registry)


async def ask(calls: Dispatcher, op: Op, url: str = "unix:///nowhere", **fields: Any) -> Reply:
    async with connect(url) as redis:
        return await calls.answer(Call(id="1", op=op, **fields), redis, silent)


async def add(calls: Dispatcher, name: str, entry: dict[str, Any], **options: Any) -> Reply:
    return await ask(calls, Op.ADD, name=name, entry=entry, options=options)


async def test_a_space_is_written_out_as_the_seed_has_it(calls: Dispatcher, registry: Registry) -> None:
    await add(calls, "mood", {"docker_image": "m:1", "category": "text", "description": "größe", "port": 80})
    await ask(calls, Op.LIST)
    row = {"id": "mood", "docker_image": "m:1", "category": "text", "description": "größe", "port": 80}
    text = registry.path.with_name("catalogue.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text) == {"spaces": {"mood": row}, "categories": {"text": ["mood"]}}
    assert not registry.path.exists()


@pytest.mark.parametrize("name", ["", "a b", "../x", "/etc", "a\n", "ä", ".hidden", "a/b/c"])
async def test_a_name_that_no_job_could_ask_for_is_refused(calls: Dispatcher, name: str) -> None:
    reply = await add(calls, name, {"port": 80})
    assert ("cannot name a Space" if name else "names no Space") in (reply.error or "")


@pytest.mark.parametrize("fields", [{"port": "x"}, {"memory": 1}, {"env": {"a": []}}])
async def test_a_wrong_field_is_refused_and_nothing_kept(
    calls: Dispatcher, registry: Registry, fields: dict[str, Any]
) -> None:
    reply = await add(calls, "mood", {"docker_image": "m:1"} | fields)
    assert f"Space 'mood': {next(iter(fields))}" in (reply.error or "")
    assert registry.snapshot().spaces == {}


async def test_a_space_without_code_is_refused(calls: Dispatcher) -> None:
    assert "where is its code?" in ((await add(calls, "mood", {"category": "text"})).error or "")


async def test_a_removed_space_is_gone(calls: Dispatcher, registry: Registry) -> None:
    await add(calls, "mood", {"docker_image": "m:1", "memory": "1GB", "network": False})
    assert (await ask(calls, Op.REMOVE, name="mood")).error is None
    assert registry.snapshot().spaces == {}
    assert (await ask(calls, Op.REMOVE, name="mood")).not_found


async def test_a_space_of_the_first_registry_is_removed_and_added_again(
    tmp_path: Path, redis_url: str
) -> None:
    default = "spaces:\n  sentiment-analysis:\n    id: sentiment-analysis\n"
    fields = shipped()["sentiment-analysis"].model_dump(mode="json", exclude_unset=True)
    declared(tmp_path / "registry.yaml", {"sentiment-analysis": fields})
    async with host(tmp_path, redis_url, default) as registry:
        calls = registry_calls(registry)
        assert "sentiment-analysis" in registry.snapshot().spaces
        assert (await ask(calls, Op.REMOVE, name="sentiment-analysis")).error is None
        assert registry.snapshot().spaces == {}
        assert registry.snapshot().warnings == ()
        assert (await add(calls, "sentiment-analysis", {"docker_image": "mine:1"})).error is None
        entry = registry.snapshot().get("sentiment-analysis")
        assert (entry.docker_image, entry.hub_id) == ("mine:1", None)


@pytest.mark.parametrize("field", ["repository", "auth", "secrets", "runtime", "writable_root", "gpu"])
async def test_what_is_the_hosts_own_cannot_be_set_by_a_client(calls: Dispatcher, field: str) -> None:
    reply = await add(calls, "mood", {field: "/etc"})
    assert reply.error == f"Space 'mood': {field} can only be set in the registry's file on the host"


@pytest.mark.parametrize("field", ["id", "colour", "discovered"])
async def test_an_unknown_field_of_a_client_is_refused(calls: Dispatcher, field: str) -> None:
    reply = await add(calls, "mood", {"docker_image": "m:1", field: "/etc"})
    assert f"{field}" in (reply.error or "")


async def test_a_clients_repository_is_kept_by_its_content(
    calls: Dispatcher, registry: Registry, redis_url: str, tmp_path: Path
) -> None:
    sent = payload_of("mood.tar", b"tar")
    async with connect(redis_url) as redis:
        await Payloads(redis).upload([sent])
    reply = await ask(calls, Op.ADD, redis_url, name="mood", repository=sent.ref)
    kept = tmp_path / "repositories" / f"{sent.ref.sha256}.tar"
    assert (reply.error, kept.read_bytes()) == (None, b"tar")
    assert registry.snapshot().get("mood").repository == str(kept)


async def test_a_repository_that_never_came_is_told(calls: Dispatcher, redis_url: str) -> None:
    reply = await ask(calls, Op.ADD, redis_url, name="mood", repository=payload_of("mood.tar", b"x").ref)
    assert "is kept no longer" in (reply.error or "")


@pytest.mark.parametrize("op", [Op.SHOW, Op.REMOVE])
async def test_an_unknown_space_is_told_with_those_that_there_are(calls: Dispatcher, op: Op) -> None:
    await add(calls, "mood", {"docker_image": "m:1"})
    reply = await ask(calls, op, name="mod")
    assert (reply.not_found, reply.known) == (True, ("mood",))


@pytest.mark.parametrize("op", [Op.SHOW, Op.REMOVE, Op.ADD])
async def test_a_call_without_a_name_is_told(calls: Dispatcher, op: Op) -> None:
    assert (await ask(calls, op)).error == "the call names no Space"


async def test_the_list_has_the_spaces_and_the_warnings(calls: Dispatcher, registry: Registry) -> None:
    registry.path.write_text("spaces: {mood: {}, bad: {port: 0}}")
    reply = await ask(calls, Op.LIST)
    assert (list(reply.spaces), len(reply.warnings)) == (["mood"], 1)


async def test_a_space_that_is_left_out_is_told_with_its_line(calls: Dispatcher, registry: Registry) -> None:
    registry.path.write_text("spaces:\n  mood:\n    id: mood\n    prt: 1\n")
    reply = await ask(calls, Op.SHOW, name="mood")
    assert f"{registry.path}:4:5: spaces.mood: unknown key 'prt'" in (reply.error or "")
    assert (await ask(calls, Op.SHOW, name="moo")).not_found


@pytest.mark.parametrize("field", ["input_type", "output_type"])
@pytest.mark.parametrize("value", ["banana", "text_and_banana", "text and image", ""])
async def test_a_type_that_there_is_not_is_refused_with_those_that_there_are(
    calls: Dispatcher, registry: Registry, field: str, value: str
) -> None:
    reply = await add(calls, "mood", {"docker_image": "mood:1", field: value})
    assert f"Space 'mood': {field} '{value}' is not one that there is" in (reply.error or "")
    assert "text, image, audio, video, file, json, or several joined by _and_" in (reply.error or "")
    assert registry.snapshot().spaces == {}


@pytest.mark.parametrize("value", ["image", "text_and_image", "text_and_image_and_audio", "json"])
async def test_kinds_and_several_of_them_are_types(calls: Dispatcher, value: str) -> None:
    entry = {"docker_image": "mood:1", "input_type": value, "output_type": value}
    assert (await add(calls, "mood", entry)).error is None


def test_all_types_that_spacedock_itself_gives_are_known() -> None:
    used = {kind for entry in shipped().values() for kind in entry.takes | entry.gives}
    used |= {
        kind for work in KINDS.values() for kind in work.takes.split("_and_") + work.gives.split("_and_")
    }
    assert used <= set(TYPES)
