"""Cleaning up, locking and bundling on a real engine: what is not ours survives all of it."""

from __future__ import annotations

import asyncio
import io
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from redis.asyncio import Redis
from tests.control_calls import asked
from tests.registries import declare

from spacedock._wire.connection import connect
from spacedock._wire.rpc import Call, Op, Reply, call_of
from spacedock.errors import BadRequestError, SpaceNotFoundError
from spacedock.request import JobRequest
from spacedock.result import Stage
from spacedock_worker.adapters.detect import Opener
from spacedock_worker.bundles.volumes import Transfer
from spacedock_worker.cleanup.cleaner import CleanupRequest
from spacedock_worker.cleanup.inventory import HELPER_LABEL
from spacedock_worker.containers.docker.create_body import OWNER_LABEL, SPACE_LABEL
from spacedock_worker.containers.docker.engine import Engine, EngineRefusedError
from spacedock_worker.containers.docker.volumes import volume_labels, volume_name
from spacedock_worker.containers.pool.pool import Pool
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.errors import StepError
from spacedock_worker.images.images import Images
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.images.source import Image
from spacedock_worker.jobs.chain import StepContext
from spacedock_worker.jobs.model_step import ModelRunner
from spacedock_worker.jobs.space_step import SpaceRunner
from spacedock_worker.queue.runner import TakenJob
from spacedock_worker.registry.catalogue import CatalogueStore
from spacedock_worker.registry.host_file import shipped
from spacedock_worker.registry.registry import Registry
from spacedock_worker.settings import WorkerSettings
from spacedock_worker.state.image_policy import source_of
from spacedock_worker.wiring import Wiring

DATA = 300_000

GUARDED = """
import http.server, json, os
if os.environ.get("TOKEN") != "xyzzy":
    raise SystemExit("no token")
ANSWER = {"responses": {"200": {"content": {"application/json": {"schema": {"type": "string"}}}}}}
API = {"openapi": "3.1.0", "info": {"title": "x", "version": "1"}, "paths": {"/tell": {"get": ANSWER}}}
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(404 if self.path == "/config" else 200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(API if self.path == "/openapi.json" else {}).encode())
http.server.HTTPServer(("", 7860), Handler).serve_forever()
"""
"""An app that starts with its secret alone."""


def silent(message: str) -> None:
    pass


NO_MODELS = cast(ModelRunner, None)


@dataclass
class Host:
    """One daemon's state on the engine that all share."""

    state: Path
    engine: Engine
    settings: WorkerSettings
    registry: Registry
    kept: Wiring
    images: Images

    @property
    def owner(self) -> str:
        return self.settings.containers.instance_id

    async def space(self, name: str, *, listed: bool = True) -> Image:
        """A small program as a Space, built and used; its image alone has DATA bytes that no other has."""
        repository = self.state / "spaces" / name
        await asyncio.to_thread(_program, repository)
        fields = {"repository": str(repository), "adapter": "command"}
        entry = declare(self.registry, name, fields)
        image = await self.images.get(source_of(entry, None), silent)
        await self.kept.notes.used(image.reference, image.digest, name)
        if not listed:
            declare(self.registry, name, None)
        return image

    async def added(self, name: str, image: str) -> None:
        """A Space of this image, added to the catalogue."""
        await self.registry.settle(name, lambda _: {"docker_image": image})

    async def cache(self, space: str, image: Image, data: bytes) -> str:
        """The Space's cache volume with one file in it."""
        volume, labels = volume_name(self.owner, space), volume_labels(self.owner, space)
        await Transfer(self.engine, self.owner).write(volume, labels, image.reference, iter([_tar(data)]))
        return volume

    async def container(self, image: Image, labels: dict[str, str], *, start: bool = False) -> str:
        body: dict[str, Any] = {"Image": image.reference, "Cmd": ["sleep", "600"], "Labels": labels}
        async with self.engine.call(Stage.START) as docker:
            container = await docker.containers.create(body)
            if start:
                await container.start()
        return container.id

    async def clean(self, redis: Redis, **order: Any) -> dict[str, Any]:
        return (await self.kept.cleaner.clean(CleanupRequest(0, **order), redis, silent)).told()

    async def has(self, path: str) -> bool:
        try:
            async with self.engine.call(Stage.START) as docker:
                await docker._query_json(path)
        except EngineRefusedError as error:
            if error.status != 404:
                raise
            return False
        return True


def _program(repository: Path) -> None:
    repository.mkdir(parents=True)
    (repository / "README.md").write_text("---\nsdk: docker\n---\n")
    (repository / "main.py").write_text("import sys\nprint(sys.stdin.read().strip().upper() + '!')\n")
    (repository / "data").write_bytes(os.urandom(DATA))
    dockerfile = 'FROM spacedock/python:3.11\nCOPY data main.py /\nCMD ["python3", "/main.py"]\n'
    (repository / "Dockerfile").write_text(dockerfile)


def _tar(data: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("weights.bin")
        entry.size, entry.uid, entry.gid = len(data), 1000, 1000
        archive.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with Engine() as engine:
        yield engine


@pytest.fixture
def name() -> str:
    return f"up-{secrets.token_hex(4)}"


def host_in(state: Path, engine: Engine, owner: str, redis: Redis, budget: int | None = None) -> Host:
    state.mkdir()
    (state / "instance-id").write_text(owner)
    ca = os.environ.get("SSL_CERT_FILE")
    images = ImageSettings(ca_bundle=Path(ca) if ca else None, image_budget=budget)
    settings = WorkerSettings(
        redis_url=f"unix://{redis.connection_pool.connection_kwargs['path']}",
        registry=state / "registry.yaml",
        repositories=state / "repositories",
        state=state,
        images=images,
        containers=ContainerSettings(instance_id=owner),
    )
    registry = Registry(settings.registry, store=CatalogueStore(redis), repositories=settings.repositories)
    kept = Wiring(settings, engine, registry)
    return Host(state, engine, settings, registry, kept, kept.images)


@pytest.fixture
async def host(tmp_path: Path, engine: Engine, name: str, redis: Redis) -> AsyncIterator[Host]:
    host = host_in(tmp_path / "host", engine, f"test-{name}", redis)
    yield host
    await remove_all(engine, name)


async def remove_all(engine: Engine, name: str) -> None:
    """Remove whatever the test has made, ours and the foreign: all of it has the name in it."""
    async with engine.call(Stage.START) as docker:
        for row in await docker._query_json("containers/json", params={"all": 1}):
            if name in str(row["Labels"]):
                await docker.containers.container(row["Id"]).delete(force=True)
        for row in (await docker.volumes.list())["Volumes"] or ():
            if name in row["Name"]:
                async with docker._query(f"volumes/{row['Name']}", method="DELETE"):
                    pass
        for row in await docker.images.list():
            for tag in row["RepoTags"] or ():
                if name in tag:
                    await docker.images.delete(tag, force=True)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with connect(redis_url) as redis:
        yield redis


async def test_a_clean_up_frees_exactly_what_it_says_and_nothing_of_others(
    host: Host, redis: Redis, name: str, engine: Engine
) -> None:
    listed, gone = await host.space(f"{name}-listed"), await host.space(f"{name}-gone", listed=False)
    caches = [
        await host.cache(space, listed, os.urandom(50_000)) for space in (f"{name}-listed", f"{name}-gone")
    ]
    ended = await host.container(listed, {OWNER_LABEL: host.owner, SPACE_LABEL: f"{name}-listed"})
    running = await host.container(listed, {OWNER_LABEL: host.owner}, start=True)
    other = host_in(host.state.parent / "other", engine, f"test-{name}-2", redis)
    theirs = await other.space(f"{name}-theirs", listed=False)
    foreign = [
        await other.cache(f"{name}-gone", listed, b"other daemon's"),
        f"spacedock-{host.owner}-foreign",
    ]
    async with engine.call(Stage.START) as docker:
        await docker.volumes.create({"Name": foreign[1]})  # type: ignore[no-untyped-call]
    strangers = [
        await host.container(listed, {OWNER_LABEL: other.owner}),
        await host.container(listed, {"name": name}),
    ]
    leftover = host.state / "scratch"
    leftover.mkdir()
    (leftover / "part").write_bytes(b"12345")

    # Some file systems give a file its blocks only when they write it out.
    await asyncio.to_thread(os.sync)
    planned = await host.clean(redis, dry_run=True, images=True)
    assert planned["dry_run"]
    assert {item["kind"]: item["name"] for item in planned["items"]} == {
        "scratch": "part",
        "containers": (await named(engine, ended)),
        "caches": f"{name}-gone",
        "images": gone.reference,
    }
    assert planned["kinds"]["scratch"] == {"count": 1, "bytes": 5}
    assert 50_000 <= planned["kinds"]["caches"]["bytes"] < 80_000
    # Its own files, in blocks in some stores, and not the base that it shares.
    assert DATA < planned["kinds"]["images"]["bytes"] < DATA + 30_000
    assert await host.has(f"containers/{ended}/json")
    assert await host.has(f"images/{gone.reference}/json")

    assert await host.clean(redis, images=True) == planned | {"dry_run": False}
    assert not await host.has(f"containers/{ended}/json")
    assert not await host.has(f"volumes/{caches[1]}")
    assert not await host.has(f"images/{gone.reference}/json")
    assert not os.listdir(leftover)
    kept = [f"volumes/{volume}" for volume in (caches[0], *foreign)]
    kept += [f"containers/{container}/json" for container in (running, *strangers)]
    kept += [f"images/{image.reference}/json" for image in (listed, theirs)]
    assert [path for path in kept if not await host.has(path)] == []
    assert (await host.clean(redis, images=True))["bytes"] == 0


async def named(engine: Engine, container: str) -> str:
    async with engine.call(Stage.START) as docker:
        found = await docker.containers.container(container).show()
    return str(found["Name"]).removeprefix("/")


async def test_what_was_needed_lately_stays(host: Host, redis: Redis, name: str) -> None:
    image = await host.space(name, listed=False)
    await host.cache(name, image, b"weights")
    await host.container(image, {OWNER_LABEL: host.owner})
    report = await host.kept.cleaner.clean(CleanupRequest(3600, images=True), redis, silent)
    assert (report.bytes, report.items, report.left) == (0, [], [])


async def test_a_slip_in_the_registry_costs_no_cache(host: Host, redis: Redis, name: str) -> None:
    volume = await host.cache(name, await host.space(name), b"weights")
    text = host.registry.path.read_text()
    host.registry.path.write_text(text.replace("adapter:", "adaptor:"))
    assert name not in host.registry.snapshot().spaces
    await host.clean(redis)
    assert await host.has(f"volumes/{volume}")
    host.registry.path.write_text(text)
    declare(host.registry, name, None)
    await host.clean(redis)
    assert not await host.has(f"volumes/{volume}")


async def test_the_budget_takes_the_least_recently_used_and_leaves_what_runs_or_is_locked(
    host: Host, redis: Redis, name: str
) -> None:
    spaces = [f"{name}-{number}" for number in range(4)]
    images = [await host.space(space) for space in spaces]
    await host.container(images[0], {OWNER_LABEL: host.owner}, start=True)
    host.kept.lock.path.write_text(
        f'{{"version": 1, "spaces": {{"x": {{"image": "x", "digest": "{images[1].digest}"}}}}}}'
    )
    image_cleanup = host.kept.image_cleanup
    assert await image_cleanup.bytes() > 4 * DATA
    report = await host.kept.cleaner.clean(CleanupRequest(0, need=DATA // 2), redis, silent)
    assert [item["name"] for item in report.items if item["kind"] == "images"] == [images[2].reference]
    report = await host.kept.cleaner.clean(CleanupRequest(0, need=2**50), redis, silent)
    assert [item["name"] for item in report.items if item["kind"] == "images"] == [images[3].reference]


async def test_a_redis_that_is_away_keeps_no_container_from_being_cleaned_up(host: Host, name: str) -> None:
    await host.container(await host.space(name), {OWNER_LABEL: host.owner})
    async with connect("unix:///nowhere") as away:
        report = await host.clean(away)
    assert report["kinds"]["containers"]["count"] == 1
    left = [reason.partition(":")[0] for reason in report["left"]]
    assert left == ["results", "files"]


async def test_a_space_is_started_with_its_secrets_to_be_locked(
    host: Host, redis: Redis, name: str, engine: Engine
) -> None:
    repository = host.state / "spaces" / name
    repository.mkdir(parents=True)
    (repository / "main.py").write_text(GUARDED)
    (repository / "Dockerfile").write_text(
        'FROM spacedock/python:3.11\nCOPY main.py /\nCMD ["python3", "/main.py"]\n'
    )
    declare(host.registry, name, {"repository": str(repository), "secrets": {"TOKEN": {"env": "HOSTS"}}})
    async with Pool[Any](engine, host.settings.containers) as pool:
        wiring = Wiring(host.settings, engine, host.registry, env={"HOSTS": "xyzzy"})
        call = call_of(Op.LOCK, names=[name], start=True)
        locked = (await asked(wiring.calls(pool, NO_MODELS)[Op.LOCK], call, redis)).data
    assert locked["spaces"][name]["endpoints"]["functions"] == ["/tell() -> json"]


async def test_the_housekeeper_keeps_to_the_budget(host: Host, redis: Redis, name: str) -> None:
    image = await host.space(name)
    budget = host.kept.housekeeper(redis)
    budget._budget = 0
    # What is in use just now stays, whatever the budget.
    assert (await budget.once()).items == []
    notes = host.kept.notes
    notes.now = lambda: time.time() - 1000
    await notes.used(image.reference, image.digest, name)
    assert [item["name"] for item in (await budget.once()).items] == [image.reference]
    assert notes.all() == ()


async def answer(host: Host, redis: Redis, op: Op, pool: Pool[Any], **call: Any) -> Reply:
    return await asked(host.kept.calls(pool, NO_MODELS)[op], Call(id="1", op=op, **call), redis)


async def test_a_space_is_shown_with_what_is_here_and_goes_with_it(
    host: Host, redis: Redis, name: str, engine: Engine
) -> None:
    image = await host.space(name, listed=False)
    await host.added(name, image.reference)
    await host.added(f"{name}-none", f"127.0.0.1:9/{name}:1")
    volume = await host.cache(name, image, os.urandom(50_000))
    container = await host.container(image, {OWNER_LABEL: host.owner, SPACE_LABEL: name}, start=True)
    pool: Pool[Any] = Pool(engine, host.settings.containers)
    plain = await answer(host, redis, Op.LIST, pool)
    assert plain.data == {}
    shown = (await answer(host, redis, Op.LIST, pool, options={"status": True})).data["status"]
    assert shown[name]["state"] == "image only"
    assert shown[name]["cache_bytes"] >= 50_000
    assert shown[name]["image_bytes"] > DATA
    assert shown[f"{name}-none"]["state"] == "not here"
    removed = await answer(host, redis, Op.REMOVE, pool, name=name)
    assert [item["kind"] for item in removed.data["items"]] == ["containers", "caches"]
    assert removed.data["left"] == []
    assert not await host.has(f"containers/{container}/json")
    assert not await host.has(f"volumes/{volume}")


@pytest.mark.parametrize("known", [True, False])
async def test_other_code_under_a_name_begins_without_the_cache_that_is_there(
    host: Host, redis: Redis, name: str, engine: Engine, known: bool
) -> None:
    image = await host.space(name, listed=False)
    volume = await host.cache(name, image, b"weights")
    pool: Pool[Any] = Pool(engine, host.settings.containers)
    same = {"name": name, "entry": {"description": "as it was"}}
    if known:
        await host.added(name, image.reference)
        assert (await answer(host, redis, Op.ADD, pool, **same)).error is None
        assert await host.has(f"volumes/{volume}")
    other = {"name": name, "entry": {"docker_image": "other:1"}, "options": {"replace": known}}
    assert (await answer(host, redis, Op.ADD, pool, **other)).error is None
    assert not await host.has(f"volumes/{volume}")


async def test_no_client_names_the_image_of_another_space(
    host: Host, redis: Redis, name: str, engine: Engine
) -> None:
    image = await host.space(name, listed=False)
    await host.added(name, image.reference)
    pool: Pool[Any] = Pool(engine, host.settings.containers)
    bare, retagged = image.id.removeprefix("sha256:"), f"{name}-by-hand:1"
    async with engine.call(Stage.START) as docker:
        await docker.images.tag(image.id, f"{name}-by-hand", tag="1")
    tagless = image.reference.partition(":")[0]
    names = (image.reference, f"docker.io/{image.reference}", f"{tagless}:other", retagged, image.id, bare)
    try:
        for named in (*names, bare[:12], bare[:1]):
            with pytest.raises(BadRequestError, match=r"is another Space's|is an id"):
                await answer(host, redis, Op.ADD, pool, name="eve", entry={"docker_image": named})
        own = await answer(
            host,
            redis,
            Op.ADD,
            pool,
            name=name,
            entry={"docker_image": image.reference},
            options={"replace": True},
        )
        other = await answer(host, redis, Op.ADD, pool, name="fay", entry={"docker_image": "not-here:1"})
    finally:
        async with engine.call(Stage.START) as docker:
            await docker.images.delete(retagged)
    assert (own.error, other.error) == (None, None)
    assert "eve" not in host.registry.snapshot().spaces


async def run(host: Host, name: str, pool: Pool[Any]) -> tuple[str | None, list[str]]:
    """The Space's answer to "hello", and what was done for it."""
    heard: list[str] = []
    job = TakenJob("j1", JobRequest(prompt="hello", space=name))
    context = StepContext(job, lambda stage, step, message, partial: heard.append(message), name)
    runner = SpaceRunner(host.kept.policy, pool, Opener())
    answer = await runner.run(host.registry.snapshot().get(name), context)
    return answer.answer.text, heard


def can_cut() -> bool:
    """Whether a process can be started here that has no network."""
    try:
        return subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


async def spacedockd(host: Host, *words: str, cut: bool = False) -> asyncio.subprocess.Process:
    """The daemon's command in a process of its own; `cut` leaves it no network at all."""
    alone = ["unshare", "--net"] if cut else []
    env = {key: value for key, value in os.environ.items() if not key.startswith("SPACEDOCK_")}
    return await asyncio.create_subprocess_exec(
        *alone,
        sys.executable,
        "-c",
        "from spacedockd.entry import main; main()",
        "--state-dir",
        str(host.state),
        *words,
        env=env | {"SPACEDOCK_REDIS_URL": host.settings.redis_url},
        stderr=asyncio.subprocess.PIPE,
    )


async def bundled(host: Host, out: Path, name: str) -> None:
    made = await spacedockd(host, "bundle", str(out), name)
    _, said = await made.communicate()
    assert made.returncode == 0, said
    assert f"bundled {name}".encode() in said


async def test_a_bundle_that_is_killed_leaves_nothing_under_its_name(host: Host, name: str) -> None:
    await host.space(name)
    out, part = host.state.parent / "spaces.tar", host.state.parent / "spaces.tar.part"
    killed = await spacedockd(host, "bundle", str(out), name)
    # The command tells of its progress only now and then.
    await until(lambda: part.exists() and part.stat().st_size > 2**20)
    killed.send_signal(signal.SIGKILL)
    await killed.wait()
    assert not out.exists()


async def until(true: Callable[[], bool]) -> None:
    """Look again and again: for what has no way of telling."""
    async with asyncio.timeout(240):
        while not true():  # noqa: ASYNC110 - files wake nobody
            await asyncio.sleep(0.01)


async def test_a_bundle_brings_spaces_to_a_host_without_a_network(
    host: Host, redis: Redis, name: str, engine: Engine
) -> None:
    image = await host.space(name)
    weights = os.urandom(50_000)
    volume = await host.cache(name, image, weights)
    folder = host.state.parent
    out = folder / "spaces.tar"
    # What a bundle leaves that was killed.
    (folder / "spaces.tar.part").write_bytes(b"half")
    helper = await host.container(image, {HELPER_LABEL: host.owner})
    await bundled(host, out, name)
    assert not await host.has(f"containers/{helper}/json")
    assert [path for path in os.listdir(folder) if "spaces" in path] == ["spaces.tar"]
    declare(host.registry, name, None)
    await host.clean(redis, images=True)
    shutil.rmtree(host.state / "spaces")
    assert not await host.has(f"images/{image.reference}/json")
    assert not await host.has(f"volumes/{volume}")

    there = host_in(folder / "there", engine, f"test-{name}-there", redis)
    taken = await spacedockd(there, "unbundle", str(out), cut=can_cut())
    _, said = await taken.communicate()
    assert taken.returncode == 0, said
    await there.registry.caught_up()
    async with Pool[Any](engine, there.settings.containers) as pool:
        text, heard = await run(there, name, pool)
        assert text == "HELLO!"
        assert not [message for message in heard if "pull" in message or "step" in message]
        lock = (await answer(there, redis, Op.LOCK, pool)).data["spaces"]
        assert lock[name]["digest"] == image.digest
    assert await cached(there, name, image) == (1000, weights)
    # What a bundle brought stays while its Space does, and goes like any other when it does not.
    assert (await there.clean(redis, need=2**50))["kinds"]["images"]["count"] == 0
    await there.registry.remove(name)
    assert (await there.clean(redis, images=True))["kinds"]["images"]["count"] == 1


async def cached(host: Host, space: str, image: Image) -> tuple[int, bytes]:
    """The owner and the bytes of the one file in a Space's cache."""
    volume = volume_name(host.owner, space)
    async with Transfer(host.engine, host.owner).read(volume, image.reference) as chunks:
        packed = b"".join([chunk async for chunk in chunks])
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        (found,) = [member for member in archive if member.isfile()]
        return found.uid, archive.extractfile(found).read()  # type: ignore[union-attr]


async def test_a_bundle_of_a_space_that_the_host_declares_otherwise_changes_nothing(
    host: Host, redis: Redis, name: str, engine: Engine
) -> None:
    await host.space(name)
    out = host.state.parent / "spaces.tar"
    await bundled(host, out, name)
    there = host_in(host.state.parent / "there", engine, f"test-{name}-there", redis)
    declare(there.registry, name, {"docker_image": "mine:1"})
    taken = await spacedockd(there, "unbundle", str(out))
    _, said = await taken.communicate()
    assert taken.returncode == 2
    assert b"docker_image" in said
    # Gigabytes are not loaded for what is refused.
    assert b"loading" not in said
    assert there.registry.snapshot().get(name).docker_image == "mine:1"


async def test_a_broken_bundle_changes_nothing(host: Host, name: str) -> None:
    path = host.state.parent / "broken.tar"
    path.write_bytes(b"no tar")
    taken = await spacedockd(host, "unbundle", str(path))
    _, said = await taken.communicate()
    assert taken.returncode == 2
    assert b"Nothing was changed" in said
    assert not host.settings.registry.exists()


async def test_the_image_of_a_space_is_got_ahead_of_its_first_job(
    host: Host, redis: Redis, name: str
) -> None:
    await asyncio.to_thread(_program, host.state / "spaces" / name)
    declare(host.registry, name, {"repository": str(host.state / "spaces" / name), "adapter": "command"})
    async with Pool[Any](host.engine, host.settings.containers) as pool:
        got = (await answer(host, redis, Op.PULL, pool, name=name)).data
        again = (await answer(host, redis, Op.PULL, pool, name=name)).data
        assert (got["name"], got["image"]) == (name, again["image"])
        assert [note.space for note in host.kept.notes.all()] == [name]
        with pytest.raises(SpaceNotFoundError):
            await answer(host, redis, Op.PULL, pool, name=f"{name}-none")


async def test_what_cannot_be_locked_keeps_nothing_else_from_it(host: Host, redis: Redis, name: str) -> None:
    await host.space(name)
    declare(host.registry, f"{name}-lost", {"repository": str(host.state / "nowhere")})
    spaces = shipped()
    for one in ("translation", "clip-analysis"):
        declare(host.registry, one, spaces[one].model_dump(mode="json", exclude_unset=True))
    declare(host.registry, "clip-analysis", {"description": "mine", "repository": "nowhere"})
    async with Pool[Any](host.engine, host.settings.containers) as pool:
        data = (await answer(host, redis, Op.LOCK, pool)).data
        assert data["spaces"].keys() == {name}
        assert data["failed"].keys() == {f"{name}-lost", "clip-analysis"}
        assert data["left_out"] == ["translation"]
        with pytest.raises(StepError):
            await answer(host, redis, Op.LOCK, pool, options={"names": [f"{name}-lost", name]})


async def test_a_locked_space_runs_exactly_that_image(host: Host, redis: Redis, name: str) -> None:
    image = await host.space(name)
    async with Pool[Any](host.engine, host.settings.containers) as pool:
        reply = await answer(host, redis, Op.LOCK, pool, options={"names": [name]})
        row = reply.data["spaces"][name]
        assert (row["image"], row["digest"], row["commit"]) == (image.reference, image.digest, None)
        host.kept.lock.path.write_text(json.dumps(reply.data))
        assert (await run(host, name, pool))[0] == "HELLO!"
        away = {**row, "digest": "sha256:" + "0" * 64}
        host.kept.lock.path.write_text(json.dumps({**reply.data, "spaces": {name: away}}))
        with pytest.raises(StepError, match=r"is locked to the image .*0000.*bundle"):
            await run(host, name, pool)
