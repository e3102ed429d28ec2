"""Collections: Spaces shared as a file, and what of a stranger's file is taken in."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.control_calls import asked
from tests.engine_double import engine_double
from tests.registries import declared, host

from spacedock._wire.rpc import Op, call_of
from spacedock.errors import BadRequestError
from spacedock_worker.control.collections.handler import CollectionHandler
from spacedock_worker.control.collections.reading import MAX_BYTES, read_collection
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.registry.host_file import default_text
from spacedock_worker.registry.record import by_digest
from spacedock_worker.registry.registry import Registry
from spacedock_worker.state.image_usage import ImageUsage

COLLECTIONS = sorted((Path(__file__).parents[2] / "deploy/collections").glob("*.yaml"))
DIGEST = "sha256:" + "1" * 64


def with_field(line: str) -> str:
    return f"spaces:\n  mood:\n    hub_id: ann/mood\n    {line}\n"


BOMB = "a: &a [x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)

HOSTILE: dict[str, tuple[str, str]] = {
    "a bomb of aliases": (BOMB, "c.yaml:1:4: an anchor (&a): write out each value"),
    "an alias in an entry": (
        "spaces:\n  mood: &m\n    hub_id: ann/mood\n  b: *m\n",
        "c.yaml:4:6: an alias (*m): write out what it stands for",
    ),
    "a merge key": (
        "spaces:\n  mood:\n    <<: {gpu: auto}\n    hub_id: ann/mood\n",
        "c.yaml:3:5: a merge key (<<): write out each value",
    ),
    "a tag that builds an object": (
        with_field("description: !!python/object/apply:os.system [id]"),
        "c.yaml:4:18: a tag (tag:yaml.org,2002:python/object/apply:os.system): write plain values",
    ),
    "too many levels": ("spaces: " + "[" * 40 + "]" * 40, "c.yaml:1:20: over 12 levels deep"),
    "levels without end": ("spaces: " + "[" * 100_000, "c.yaml:1:"),
    "values without end": ("spaces: [" + "a," * 30_000 + "]", "over 20,000 values"),
    "too many bytes": ("#" * (MAX_BYTES + 1), "c.yaml:1:1: over the limit of 256 KB"),
    "a long text": (with_field("description: " + "x" * 5000), "c.yaml:4:18: a text of over 4,000 characters"),
    "too many Spaces": (
        "spaces:\n" + "".join(f"  s{n}: {{hub_id: a/b}}\n" for n in range(501)),
        "c.yaml:502:3: over 500 Spaces: share fewer in a file",
    ),
    "two documents": (with_field("port: 1") + "---\nspaces: {}\n", "c.yaml:5:1: a second document"),
    "a colour in a text": (
        with_field('description: "\\e[31mred"'),
        "c.yaml:4:18: the character U+001B, which does not show. Remove it",
    ),
    "a text that reads backwards": (
        with_field("description: safe \u202eevil"),
        "c.yaml:4:23: the character U+202E, which does not show. Remove it",
    ),
    "no YAML": ("spaces: [", "c.yaml:2:1: not YAML: did not find expected node content"),
    "no mapping": ("- a\n", "c.yaml:1:1: not a collection: it has no 'spaces:' mapping"),
    "no Spaces": ("spaces: {}\n", "c.yaml:1:1: not a collection: it has no Spaces below 'spaces:'"),
    "another document's key": (
        with_field("port: 1") + "removed: [mood]\n",
        "c.yaml:5:1: unknown key 'removed': there are 'spaces' and 'categories'",
    ),
    "a Space twice": (
        with_field("port: 1") + "  mood:\n    hub_id: evil/mood\n",
        "c.yaml:5:3: 'mood' is there twice",
    ),
    "its Spaces twice": (with_field("port: 1") + "spaces: {}\n", "c.yaml:5:1: 'spaces' is there twice"),
    "a key twice": (with_field("hub_id: evil/mood"), "c.yaml:4:5: spaces.mood: 'hub_id' is there twice"),
    "a key that is a list": (with_field("? [a, b]\n    : 1"), "c.yaml:4:7: a key that is not a word"),
    "an unknown field": (with_field("gqu: auto"), "c.yaml:4:5: spaces.mood: unknown key 'gqu'"),
    "a wrong value": (with_field("port: 0"), "c.yaml:4:5: spaces.mood: port: must be at least 1"),
    "endless processors": (
        with_field("cpus: .inf"),
        "c.yaml:4:5: spaces.mood: cpus: must be at most 10,000",
    ),
    "endless memory": (
        with_field("memory: " + "9" * 400 + "T"),
        "c.yaml:4:5: spaces.mood: memory: not a size",
    ),
    "a name that is a path": (
        "spaces:\n  ../../etc/passwd:\n    hub_id: ann/mood\n",
        "c.yaml:2:3: spaces.../../etc/passwd: not a Space's name",
    ),
    "the name of a directory": (
        "spaces:\n  ./mood:\n    hub_id: ann/mood\n",
        "c.yaml:2:3: spaces../mood: not a Space's name",
    ),
    "another id": (
        with_field("id: sentiment"),
        "c.yaml:4:9: spaces.mood: its id is 'sentiment'. They are the same name",
    ),
    "a directory of the host": (
        with_field("repository: /etc"),
        "c.yaml:4:5: spaces.mood: a repository is a path of one host. Leave it out",
    ),
    "a GPU": (with_field("gpu: auto"), "c.yaml:4:5: spaces.mood: gpu can only be set in the registry's file"),
    "a runtime": (with_field("runtime: runc"), "c.yaml:4:5: spaces.mood: runtime can only be set in"),
    "a wall": (with_field("writable_root: true"), "c.yaml:4:5: spaces.mood: writable_root can only be set"),
    "a host's secret": (
        with_field("secrets: {HF_TOKEN: {file: /root/.token}}"),
        "c.yaml:4:5: spaces.mood: secrets can only be set in the registry's file on a host. Leave it out",
    ),
    "a login": (
        with_field("auth: {username: a, password: b}"),
        "c.yaml:4:5: spaces.mood: auth can only be set",
    ),
    "a secret's value": (
        with_field("env: {HF_TOKEN: abc}"),
        "c.yaml:4:21: spaces.mood: HF_TOKEN looks like a secret. Remove it",
    ),
    "a token in a text": (
        with_field("description: use hf_" + "a" * 34),
        "c.yaml:4:18: spaces.mood: description looks like a secret",
    ),
    "a password in an address": (
        with_field("inputs: {url: 'https://me:pass@example.org'}"),
        "c.yaml:4:19: spaces.mood: url looks like a secret",
    ),
    "a verdict of its own": (
        with_field("verified: {works: true, reason: trust me, at: 2026-01-01T00:00:00Z}"),
        "c.yaml:4:5: spaces.mood: each host validates Spaces itself. Write never, or leave it out",
    ),
    "likes that nobody gave": (
        with_field("likes: 1000000"),
        "c.yaml:4:5: spaces.mood: each host finds likes out itself. Leave it out",
    ),
    "a Space for everybody": (with_field("discovered: false"), "c.yaml:4:5: spaces.mood: each host finds"),
    "a category of strangers": (
        with_field("port: 1") + "categories:\n  nlp: [sentiment]\n",
        "c.yaml:6:9: categories.nlp: the file has no Space 'sentiment'",
    ),
    "two categories": (
        with_field("category: text_processing") + "categories:\n  nlp:\n    - mood\n",
        "c.yaml:7:7: categories.nlp: 'mood' says that its category is 'text_processing'",
    ),
    "an answer of no kind": (
        with_field("trial: {expects: money}"),
        "c.yaml:4:13: spaces.mood: trial.expects: must be of the form",
    ),
    "an image of no digest": (with_field("image_digest: latest"), "c.yaml:4:5: spaces.mood: image_digest:"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_collection_is_refused_with_the_place_and_the_reason(kind: str) -> None:
    text, reason = HOSTILE[kind]
    told = read_collection(text, "c.yaml").faults
    assert any(reason in one for one in told), told
    assert all(one.startswith("c.yaml:") for one in told)


def test_all_that_is_wrong_is_told_at_once_in_the_order_of_the_file() -> None:
    text = with_field("gpu: auto") + "  b:\n    hub_id: nobody\n    runtime: kata\n    port: 0\n"
    assert read_collection(text, "c.yaml").faults == (
        "c.yaml:4:5: spaces.mood: gpu can only be set in the registry's file on a host. Leave it out",
        "c.yaml:6:5: spaces.b: hub_id: not a Space of the Hub: give it as user/space",
        "c.yaml:7:5: spaces.b: runtime can only be set in the registry's file on a host. Leave it out",
        "c.yaml:8:5: spaces.b: port: must be at least 1",
    )


def test_words_that_only_sound_like_secrets_are_taken() -> None:
    text = (
        with_field("env: {TOKENIZERS_PARALLELISM: 'false'}") + "    inputs: {max_tokens: 9, key: C major}\n"
    )
    assert read_collection(text, "c.yaml").faults == ()


def test_a_list_gives_its_category_to_a_space_that_names_none() -> None:
    found = read_collection(with_field("port: 1") + "categories:\n  nlp: [mood]\n", "c.yaml")
    assert found.entries["mood"]["category"] == "nlp"


class Host:
    """A host's registry, and who answers about collections; `begun` are the Spaces that began anew."""

    def __init__(self, registry: Registry, handler: CollectionHandler, begun: dict[str, bool]) -> None:
        self.registry, self.handler, self.begun = registry, handler, begun

    async def take_in(self, text: str, **options: Any) -> Mapping[str, Any]:
        call = call_of(Op.IMPORT, text=text, source="c.yaml", **options)
        return (await asked(self.handler.take_in, call)).data

    async def export(self, *names: str, category: str | None = None) -> Mapping[str, Any]:
        return (await asked(self.handler.export, call_of(Op.EXPORT, names=names, category=category))).data

    async def spaces(self) -> dict[str, SpaceEntry]:
        return dict((await self.registry.caught_up()).spaces)

    async def add(self, name: str, tar: bytes | None = None, **fields: Any) -> None:
        await self.registry.settle(name, lambda before: fields, tar)


@pytest.fixture
async def here(tmp_path: Path, redis_url: str) -> AsyncIterator[Host]:
    begun: dict[str, bool] = {}

    async def begin_anew(space: str, *, known: bool) -> None:
        begun[space] = known

    answers = {"images/own/mood:1/json": {"Config": {}}, "images/own/mood:2/json": {"Config": {}}}
    async with (
        host(tmp_path / "host", redis_url, "spaces: {}\n") as registry,
        engine_double(tmp_path, answers) as (engine, _),
    ):
        usage = ImageUsage(tmp_path, lambda: 1.0)
        yield Host(registry, CollectionHandler(registry, engine, usage, begin_anew), begun)


async def test_what_is_exported_and_imported_elsewhere_is_the_same(here: Host) -> None:
    await here.add(
        "mood",
        docker_image="own/mood:1",
        category="text_processing",
        alternates=["ann/mood"],
        trial={"prompt": "I love it", "expects": "text"},
        env={"LEVEL": "007"},
        memory="4GB",
        description="Says: it is \u00e9trange, # and 'quoted'",
    )
    await here.add("ann/mood", hub_id="ann/mood", category="nlp", network=False, tags=["sentiment"])
    before, text = await here.spaces(), (await here.export())["text"]
    for name in before:
        await here.registry.remove(name)
    assert await here.spaces() == {}
    told = await here.take_in(text, apply=True)
    assert (told["refused"], told["notes"], told["applied"]) == ([], [], True)
    assert await here.spaces() == before
    assert (await here.export())["text"] == text


async def test_a_collection_is_in_the_seeds_format_and_has_no_secret(here: Host, tmp_path: Path) -> None:
    await here.add("mood", docker_image="own/mood:1", env={"API_KEY": "abc", "A": "b"}, category="nlp")
    declared(here.registry.path, {"own": {"docker_image": "own/mood:1", "gpu": "auto", "secrets": ["K"]}})
    await here.handler._usage.pulled("own/mood:1", DIGEST)
    await here.handler._usage.used("own/mood:1", DIGEST, "mood")
    found = await here.export()
    mood = {"id": "mood", "docker_image": "own/mood:1", "category": "nlp", "env": {"A": "b"}}
    assert yaml.safe_load(found["text"]) == {
        "spaces": {
            "mood": {**mood, "image_digest": DIGEST},
            "own": {"id": "own", "docker_image": "own/mood:1"},
        },
        "categories": {"nlp": ["mood"], "specialized": ["own"]},
    }
    assert found["notes"] == ["mood: left out env.API_KEY", "own: left out secrets, gpu"]


async def test_what_cannot_leave_its_host_is_left_out_or_refused_by_name(here: Host) -> None:
    await here.add("sent", b"tar", repository=by_digest(hashlib.sha256(b"tar").hexdigest()))
    with pytest.raises(BadRequestError, match="nothing to export: each of these Spaces is a directory"):
        await here.export()
    with pytest.raises(BadRequestError, match="its code is a directory that was sent"):
        await here.export("sent")
    with pytest.raises(BadRequestError, match="nowhere"):
        await here.export("nowhere")
    with pytest.raises(BadRequestError, match="there is nothing to export"):
        await here.export(category="nothing")


async def test_it_is_shown_what_is_new_changed_and_the_same_and_nothing_is_done(here: Host) -> None:
    await here.add("mood", docker_image="own/mood:1", memory="2GB", category="nlp")
    await here.add("calm", docker_image="own/mood:1", category="nlp")
    text = (
        "spaces:\n  mood: {docker_image: own/mood:1, memory: 4GB}\n  calm: {docker_image: own/mood:1}\n"
        "  ann/new: {hub_id: ann/new, category: nlp}\n"
    )
    before = await here.spaces()
    told = await here.take_in(text)
    assert told["spaces"] == [
        {"name": "mood", "state": "changed", "fields": [f"memory: {2**31} -> {2**32}"]},
        {"name": "calm", "state": "same", "fields": []},
        {"name": "ann/new", "state": "new", "fields": ["category: nlp", "hub_id: ann/new"]},
    ]
    assert (told["applied"], await here.spaces()) == (False, before)


async def test_one_refused_space_keeps_all_out(here: Host) -> None:
    await here.add("sealed", docker_image="own/mood:1", network=False)
    before = await here.spaces()
    text = "spaces:\n  a: {hub_id: ann/a}\n  sealed: {docker_image: own/mood:1, network: true}\n"
    told = await here.take_in(text, apply=True)
    (reason,) = told["refused"]
    assert reason.startswith("c.yaml:3:3: Space 'sealed': `network` is false here, and a collection does not")
    assert (told["applied"], await here.spaces()) == (False, before)


REFUSED_HERE = {
    "other code": ("mood: {docker_image: 'own/mood:2'}", "is there already, with other code"),
    "other code under a Hub id": ("ann/mood: {docker_image: 'own/mood:1'}", "its name is the id of a Space"),
    "another Space under a Hub id": ("ann/mood: {hub_id: evil/mood}", "so it cannot have hub_id"),
    "an image's id": ("x: {docker_image: '" + "a" * 64 + "'}", "is an id, or may be taken for one"),
    "a type of no kind": ("x: {hub_id: a/b, input_type: money}", "input_type 'money' is not one"),
    "no code": ("x: {description: nothing}", "where is its code?"),
    "a Space with a host's secrets": ("own: {docker_image: 'own/mood:2'}", "own' has secrets or a login"),
    "too large an entry": (
        "x: {hub_id: a/b, env: {" + ", ".join(f"A{n}: {'x' * 3900}" for n in range(20)) + "}}",
        "over the limit of 64 KB",
    ),
}


@pytest.mark.parametrize("kind", REFUSED_HERE)
async def test_what_the_registry_would_not_have_is_refused_with_its_place(here: Host, kind: str) -> None:
    await here.add("mood", docker_image="own/mood:1")
    declared(here.registry.path, {"own": {"docker_image": "own/mood:1", "secrets": ["K"]}})
    before, (line, reason) = await here.spaces(), REFUSED_HERE[kind]
    replace = kind.startswith("a Space with")
    told = await here.take_in(f"spaces:\n  {line}\n", apply=True, replace=replace)
    assert len(told["refused"]) == 1
    assert told["refused"][0].startswith("c.yaml:2:3: ")
    assert reason in told["refused"][0]
    assert await here.spaces() == before


async def test_other_code_begins_anew_and_keeps_its_walls(here: Host) -> None:
    await here.add("mood", docker_image="own/mood:1", memory="1GB", network=False)
    text = "spaces:\n  mood: {docker_image: 'own/mood:2', category: nlp}\n  calm: {hub_id: ann/calm}\n"
    told = await here.take_in(text, apply=True, replace=True)
    entry = (await here.spaces())["mood"]
    assert (entry.docker_image, entry.memory, entry.network, entry.verified) == (
        "own/mood:2",
        2**30,
        False,
        "never",
    )
    assert told["spaces"][0]["fields"][-1] == "other code: its containers and its cache are removed"
    assert here.begun == {"mood": True, "calm": False}


async def test_only_what_was_shown_is_taken_in(here: Host) -> None:
    text = "spaces:\n  mood: {hub_id: ann/mood, memory: 4GB}\n"
    seen = (await here.take_in(text))["seen"]
    await here.add("mood", hub_id="ann/mood", memory="1GB")
    with pytest.raises(BadRequestError, match="was changed meanwhile: look at what would change again"):
        await here.take_in(text, apply=True, seen=seen)
    assert (await here.spaces())["mood"].memory == 2**30


async def test_two_who_import_at_once_leave_one_of_the_two_whole(here: Host) -> None:
    texts = [
        "spaces:\n" + "".join(f"  s{n}: {{hub_id: a/s{n}, description: {who}}}\n" for n in range(50))
        for who in ("one", "two")
    ]
    await asyncio.gather(*(here.take_in(text, apply=True) for text in texts), return_exceptions=True)
    assert len({entry.description for entry in (await here.spaces()).values()}) == 1


async def test_alternates_that_nobody_has_are_noted(here: Host) -> None:
    told = await here.take_in("spaces:\n  mood: {hub_id: a/b, alternates: [gone, mood]}\n")
    assert told["notes"] == ["mood: its alternates gone are neither in the file nor here"]


@pytest.mark.parametrize("path", COLLECTIONS, ids=lambda path: path.stem)
async def test_our_collections_are_imported_unverified(
    path: Path, here: Host, tmp_path: Path, redis_url: str
) -> None:
    told = await here.take_in(await asyncio.to_thread(path.read_text), apply=True)
    assert (told["refused"], told["notes"], told["applied"]) == ([], [], True)
    spaces = await here.spaces()
    assert len(spaces) >= 5
    assert {entry.verified for entry in spaces.values()} == {"never"}
    assert all(entry.trial and entry.hub_id for entry in spaces.values())


@pytest.mark.parametrize("path", COLLECTIONS, ids=lambda path: path.stem)
def test_our_collections_have_no_space_that_we_do_not_know(path: Path) -> None:
    known = yaml.safe_load(default_text())["spaces"]
    for name, fields in yaml.safe_load(path.read_text())["spaces"].items():
        assert fields["hub_id"] == known[name]["hub_id"]


def test_the_example_of_the_docs_is_a_collection() -> None:
    page = (Path(__file__).parents[2] / "docs/collections.md").read_text()
    found = read_collection(page.split("```yaml\n")[1].partition("```")[0], "ours.yaml")
    assert (found.faults, list(found.entries)) == ((), ["mood", "calm"])


def test_there_are_four_collections() -> None:
    assert [path.stem for path in COLLECTIONS] == ["documents", "images", "speech", "text"]
