"""Adding, replacing and removing Spaces in registry.yaml, and the handler that does it for clients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.control_calls import registry_calls, silent

from spacedock._wire.connection import connect
from spacedock._wire.rpc import Call, Op, Reply
from spacedock._wire.submission import upload
from spacedock.errors import BadRequestError, SpaceNotFoundError
from spacedock.files import payload_of
from spacedock_worker.control.dispatcher import Dispatcher
from spacedock_worker.hub.kinds import KINDS
from spacedock_worker.registry.entry import TYPES
from spacedock_worker.registry.file import Registry, default_text


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "registry.yaml")


@pytest.fixture
def calls(registry: Registry, tmp_path: Path) -> Dispatcher:
    return registry_calls(registry, tmp_path / "repositories")


def document(registry: Registry) -> Any:
    return yaml.safe_load(registry.path.read_text(encoding="utf-8"))


async def ask(calls: Dispatcher, op: Op, url: str = "unix:///nowhere", **fields: Any) -> Reply:
    async with connect(url) as redis:
        return await calls.answer(Call(id="1", op=op, **fields), redis, silent)


@pytest.mark.parametrize(
    "text",
    [
        b"spaces:\n  m:\n    id: m\n    description:\tx\n",
        b"spaces:\n  m: {id: m, description: \xe9}\n",
        b"spaces: {m: {id: m, inputs: {a: " + b"[" * 400 + b"]" * 400 + b"}}}\n",
        b"spaces:\n  ? other\n  : {id: other}\n",
    ],
    ids=["tab", "latin-1", "deep", "explicit keys"],
)
def test_a_file_that_cannot_be_edited_is_told_and_left(registry: Registry, text: bytes) -> None:
    registry.path.write_bytes(text)
    with pytest.raises(BadRequestError, match="cannot be changed"):
        registry.add("m", {"category": "text", "likes": 5})
    assert registry.path.read_bytes() == text


def test_a_space_is_written_as_the_seed_has_it(registry: Registry) -> None:
    registry.add("mood", {"category": "text", "port": 7860, "description": "größe"})
    row = {"id": "mood", "category": "text", "port": 7860, "description": "größe"}
    assert document(registry) == {"spaces": {"mood": row}, "categories": {"text": ["mood"]}}


def test_replacing_a_space_lists_it_once(registry: Registry) -> None:
    registry.add("mood", {"category": "text"})
    registry.add("mood", {"category": "text", "port": 80})
    assert document(registry)["categories"] == {"text": ["mood"]}


def test_a_space_that_changes_its_category_leaves_the_old_one(registry: Registry) -> None:
    registry.add("mood", {"category": "text"})
    registry.add("clip", {"category": "text"})
    registry.add("mood", {"category": "images"})
    assert document(registry)["categories"] == {"text": ["clip"], "images": ["mood"]}


@pytest.mark.parametrize("text", ["spaces:\ncategories:\n", "categories: {text: }\n", "spaces: {}\n"])
def test_a_space_is_added_to_an_empty_skeleton(registry: Registry, text: str) -> None:
    registry.path.write_text(text)
    assert registry.add("mood", {"category": "text"}).id == "mood"


@pytest.mark.parametrize("text", ["spaces: [a]\n", "categories: [a]\n", "categories: {text: mood}\n"])
def test_a_registry_that_must_be_mended_first_is_left_as_it_is(registry: Registry, text: str) -> None:
    registry.path.write_text(text)
    with pytest.raises(BadRequestError, match="mend the file first"):
        registry.add("mood", {"category": "text"})
    assert registry.path.read_text() == text


@pytest.mark.parametrize("name", ["", "a b", "../x", "/etc", "a\n", "ä", ".hidden", "a/b/c"])
def test_a_name_that_no_job_could_ask_for_is_refused(registry: Registry, name: str) -> None:
    with pytest.raises(BadRequestError, match="cannot name a Space"):
        registry.add(name, {})


@pytest.mark.parametrize("fields", [{"colour": "blue"}, {"port": "x"}, {"memory": 1}, {"env": {"a": []}}])
def test_a_wrong_field_is_refused_and_nothing_written(registry: Registry, fields: dict[str, Any]) -> None:
    with pytest.raises(BadRequestError, match=f"Space 'mood': {next(iter(fields))}"):
        registry.add("mood", fields)
    assert not registry.path.exists()


def test_what_was_written_by_hand_is_kept(registry: Registry) -> None:
    registry.path.write_text("owner: me\nspaces: {old: {colour: blue}}\n")
    registry.add("mood", {"category": "text"})
    assert document(registry)["owner"] == "me"
    assert document(registry)["spaces"]["old"] == {"colour": "blue"}


def test_a_removed_space_leaves_its_categories(registry: Registry) -> None:
    registry.add("mood", {"category": "text"})
    registry.add("clip", {"category": "images"})
    registry.remove("mood")
    assert document(registry)["categories"] == {"images": ["clip"]}
    assert list(registry.snapshot().spaces) == ["clip"]


def test_a_space_that_is_not_there_cannot_be_removed(registry: Registry) -> None:
    with pytest.raises(SpaceNotFoundError):
        registry.remove("mood")


@pytest.mark.parametrize("field", ["repository", "auth", "secrets", "runtime", "writable_root"])
async def test_what_is_the_hosts_own_cannot_be_set_by_a_client(calls: Dispatcher, field: str) -> None:
    reply = await ask(calls, Op.ADD, name="mood", entry={field: "/etc"})
    assert reply.error == f"Space 'mood': {field} can only be set in the registry's file on the host"


@pytest.mark.parametrize("field", ["id", "colour"])
async def test_an_unknown_field_of_a_client_is_refused(
    calls: Dispatcher, registry: Registry, field: str
) -> None:
    reply = await ask(calls, Op.ADD, name="mood", entry={field: "/etc"})
    assert reply.error == f"Space 'mood': unknown field {field}"
    assert not registry.path.exists()


async def test_a_clients_repository_is_kept_by_its_content(
    calls: Dispatcher, registry: Registry, redis_url: str, tmp_path: Path
) -> None:
    sent = payload_of("mood.tar", b"tar")
    async with connect(redis_url) as redis:
        await upload(redis, [sent])
    reply = await ask(calls, Op.ADD, redis_url, name="mood", repository=sent.ref)
    kept = tmp_path / "repositories" / f"{sent.ref.sha256}.tar"
    assert (reply.error, kept.read_bytes()) == (None, b"tar")
    assert registry.snapshot().get("mood").repository == str(kept)


async def test_a_repository_that_never_came_is_told(calls: Dispatcher, redis_url: str) -> None:
    reply = await ask(calls, Op.ADD, redis_url, name="mood", repository=payload_of("mood.tar", b"x").ref)
    assert "is kept no longer" in (reply.error or "")


@pytest.mark.parametrize("op", [Op.SHOW, Op.REMOVE])
async def test_an_unknown_space_is_told_with_those_that_there_are(
    calls: Dispatcher, registry: Registry, op: Op
) -> None:
    registry.add("mood", {})
    reply = await ask(calls, op, name="mod")
    assert (reply.not_found, reply.known) == (True, ("mood",))


@pytest.mark.parametrize("op", [Op.SHOW, Op.REMOVE, Op.ADD])
async def test_a_call_without_a_name_is_told(calls: Dispatcher, op: Op) -> None:
    assert (await ask(calls, op)).error == "the call names no Space"


async def test_the_list_has_the_spaces_and_the_warnings(calls: Dispatcher, registry: Registry) -> None:
    registry.path.write_text("spaces: {mood: {}, bad: {port: 0}}")
    reply = await ask(calls, Op.LIST)
    assert (list(reply.spaces), len(reply.warnings)) == (["mood"], 1)


async def test_a_registry_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    calls = registry_calls(Registry(tmp_path / "file/registry.yaml"), tmp_path)
    assert "cannot be written" in ((await ask(calls, Op.ADD, name="mood")).error or "")


async def test_a_registry_of_other_shape_is_told_and_no_crash(calls: Dispatcher, registry: Registry) -> None:
    registry.path.write_text("spaces: [mood]")
    assert "mend the file first" in ((await ask(calls, Op.ADD, name="mood")).error or "")


async def test_a_space_that_is_left_out_is_told_with_its_line(calls: Dispatcher, registry: Registry) -> None:
    registry.path.write_text("spaces:\n  mood:\n    id: mood\n    prt: 1\n")
    reply = await ask(calls, Op.SHOW, name="mood")
    assert f"{registry.path}:4:5: spaces.mood: unknown key 'prt'" in (reply.error or "")
    assert (await ask(calls, Op.SHOW, name="moo")).not_found


def test_a_file_that_is_no_yaml_for_a_while_hides_no_space(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry.yaml")
    registry.add("one", {})
    registry.path.write_text("spaces: [", encoding="utf-8")
    snapshot = registry.snapshot()
    assert "one" in snapshot.spaces
    assert "not YAML" in snapshot.warnings[0]


def test_an_edit_keeps_the_permissions_of_the_file(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry.yaml")
    registry.add("one", {})
    registry.path.chmod(0o640)
    registry.add("two", {})
    assert registry.path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("field", ["input_type", "output_type"])
@pytest.mark.parametrize("value", ["banana", "text_and_banana", "text and image", ""])
async def test_a_type_that_there_is_not_is_refused_with_those_that_there_are(
    calls: Dispatcher, registry: Registry, field: str, value: str
) -> None:
    reply = await ask(calls, Op.ADD, name="mood", entry={"docker_image": "mood:1", field: value})
    assert f"Space 'mood': {field} '{value}' is not one that there is" in (reply.error or "")
    assert "text, image, audio, video, file, json, or several joined by _and_" in (reply.error or "")
    assert not registry.path.exists()


@pytest.mark.parametrize("value", ["image", "text_and_image", "text_and_image_and_audio", "json"])
async def test_kinds_and_several_of_them_are_types(calls: Dispatcher, value: str) -> None:
    entry = {"docker_image": "mood:1", "input_type": value, "output_type": value}
    assert (await ask(calls, Op.ADD, name="mood", entry=entry)).error is None


def test_all_types_that_spacedock_itself_gives_are_known(tmp_path: Path) -> None:
    shipped = Registry(tmp_path / "registry.yaml", default_text()).snapshot().spaces.values()
    used = {kind for entry in shipped for kind in entry.takes | entry.gives}
    used |= {
        kind for work in KINDS.values() for kind in work.takes.split("_and_") + work.gives.split("_and_")
    }
    assert used <= set(TYPES)


@pytest.mark.parametrize("gpu", ["banana", 0, -1, True, [], [""], ["0", "x y"], 1.5])
async def test_what_names_no_gpu_is_refused(calls: Dispatcher, gpu: Any) -> None:
    reply = await ask(calls, Op.ADD, name="mood", entry={"docker_image": "mood:1", "gpu": gpu})
    assert reply.error == (
        "Space 'mood': gpu: not GPUs: give none, auto, how many, or a list of ids such as 0 or GPU-8f2c"
    )


async def test_what_is_wrong_with_the_request_is_not_blamed_on_the_file(
    calls: Dispatcher, registry: Registry
) -> None:
    registry.add("mood", {"docker_image": "mood:1", "memory": "1GB"})
    reply = await ask(calls, Op.ADD, name="mood", entry={"memory": "2GB"}, options={"update": True})
    assert reply.error == (
        f"Space 'mood': memory can only be changed so in the registry's file on the host ({registry.path})"
    )
