"""Validation against a real image registry, the Hub's double and the real engine; and the tiers' status.

The Hub's API is a double (tests/hub.py); its image registry is a real one.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from redis.asyncio import Redis
from tests.control_calls import asked
from tests.hub import HubDouble
from tests.image_registry import docker, image_registry, put
from tests.leftovers import own_instance
from tests.registries import declare
from tests.served import served

from spacedock._wire.connection import connect
from spacedock._wire.rpc import Call, Op
from spacedock.request import Tier
from spacedock_worker.adapters.base import Adapter
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.pool.pool import Pool
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.hub.catalogue import Catalogue
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.jobs.model_step import ModelRunner
from spacedock_worker.models.client import Models
from spacedock_worker.models.endpoint import ModelEndpoint
from spacedock_worker.registry.catalogue import CatalogueStore
from spacedock_worker.registry.entry import Verdict
from spacedock_worker.registry.registry import Registry
from spacedock_worker.settings import WorkerSettings
from spacedock_worker.validation.findings import HubReader
from spacedock_worker.wiring import Wiring

SPACES = Path(__file__).parent.parent / "spaces"
SHA = "1234567" + "a" * 33
PASSWORD = "open-sesame"
HASHED = "$2b$04$Rf8uRtSi6gmEee4nQl9BU.WC1QWHfCnygTdx7z6bsrf0PhXqw6BMW"
NOWHERE = "127.0.0.1:9"


class Validating:
    """A worker's handlers on the real engine, with a registry of its own."""

    def __init__(
        self, state: Path, url: str, images: dict[str, Any], models: tuple[ModelEndpoint, ...] = ()
    ) -> None:
        owner = own_instance()
        ca = os.environ.get("SSL_CERT_FILE")
        self.settings = WorkerSettings(
            redis_url="unix:///nowhere",
            registry=state / "registry.yaml",
            repositories=state / "repositories",
            state=state,
            images=ImageSettings(ca_bundle=Path(ca) if ca else None, **images),
            containers=ContainerSettings(instance_id=owner, start_timeout=60),
        )
        self.redis = connect(url)
        store = CatalogueStore(self.redis)
        self.registry, self.models = Registry(self.settings.registry, store=store), models
        self.stack = AsyncExitStack()
        self.said: list[str] = []

    async def __aenter__(self) -> Validating:
        settings = self.settings
        engine = await self.stack.enter_async_context(Engine())
        pool: Pool[Adapter] = await self.stack.enter_async_context(Pool(engine, settings.containers))
        wiring = Wiring(settings, engine, self.registry, pool.view)
        models = await self.stack.enter_async_context(Models())
        calls = wiring.calls(pool, ModelRunner(models, self.models, None, None))
        self.validate, self.look = calls[Op.VALIDATE], calls[Op.TIERS]
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stack.aclose()
        await self.redis.aclose()

    async def row(self, name: str, **options: Any) -> dict[str, Any]:
        call = Call(id="1", op=Op.VALIDATE, name=name, options=options)
        return (await asked(self.validate, call, say=self.said.append)).data

    async def checks(self, name: str, **options: Any) -> dict[str, str]:
        return {one["name"]: one["status"] for one in (await self.row(name, **options))["checks"]}

    def verdict(self, name: str) -> Verdict | str:
        return self.registry.snapshot().get(name).verified


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with image_registry(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image registry that wants the password above, of `user`."""
    folder = tmp_path_factory.mktemp("locked")
    (folder / "htpasswd").write_text(f"user:{HASHED}\n")
    auth = f"auth: {{htpasswd: {{realm: basic-realm, path: '{folder}/htpasswd'}}}}\n"
    with image_registry(folder, auth) as address:
        yield address


@pytest.fixture
def hub() -> HubDouble:
    return HubDouble()


@pytest.fixture
async def host(tmp_path: Path, hub: HubDouble, registry: str, redis_url: str) -> AsyncIterator[Validating]:
    async with served(hub.handle) as address:
        images = {"hub_endpoint": f"http://{address}", "hub_registry": registry}
        async with Validating(tmp_path / "state", redis_url, images) as host:
            yield host


async def test_an_image_is_judged_by_its_manifest_and_not_pulled(host: Validating, registry: str) -> None:
    name = f"{registry}/fine:1"
    await asyncio.to_thread(put, name)
    declare(host.registry, "fine", {"docker_image": name, "memory": "512MB"})
    row = await host.row("fine")
    assert {one["name"]: one["status"] for one in row["checks"]} == dict.fromkeys(
        ("entry", "image", "platform", "disk", "memory"), "ok"
    )
    assert docker("images", "--quiet", name) == ""
    found = host.verdict("fine")
    assert isinstance(found, Verdict)
    assert (found.works, found.digest, found.deep) == (True, row["digest"], False)


async def test_an_image_that_is_missing_names_the_tags_there_are(host: Validating, registry: str) -> None:
    await asyncio.to_thread(put, f"{registry}/tagged:2.0")
    declare(host.registry, "missing", {"docker_image": f"{registry}/tagged:1.0"})
    declare(host.registry, "nowhere", {"docker_image": f"{registry}/none"})
    row = await host.row("missing")
    assert (row["works"], "it has the tags 2.0" in row["reason"]) == (False, True)
    assert (await host.row("nowhere"))["works"] is False
    found = host.verdict("missing")
    assert isinstance(found, Verdict)
    assert not found.works


async def test_a_login_is_wanted_refused_or_opens_it(tmp_path: Path, locked: str, redis_url: str) -> None:
    name = f"{locked}/private:latest"
    config = _logins(tmp_path / "right", locked, PASSWORD)
    await asyncio.to_thread(put, name, config=config)
    cases = [(None, "only with a login"), (_logins(tmp_path / "wrong", locked, "no"), "refuses this host's")]
    for number, (folder, words) in enumerate(cases):
        async with Validating(tmp_path / str(number), redis_url, {"docker_config": folder}) as host:
            declare(host.registry, "private", {"docker_image": name})
            row = await host.row("private")
            assert (row["works"], words in row["reason"]) == (False, True)
    async with Validating(tmp_path / "in", redis_url, {"docker_config": config}) as host:
        declare(host.registry, "private", {"docker_image": name})
        assert (await host.row("private"))["works"] is True


def _logins(folder: Path, registry: str, password: str) -> Path:
    folder.mkdir()
    auth = base64.b64encode(f"user:{password}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {registry: {"auth": auth}}}))
    return folder


async def test_what_cannot_be_asked_is_no_verdict(host: Validating) -> None:
    declare(host.registry, "silent", {"docker_image": f"{NOWHERE}/x"})
    row = await host.row("silent")
    assert (row["works"], row["stored"], host.verdict("silent")) == (None, False, "never")


async def test_a_space_of_the_hub_is_built_where_it_keeps_no_image(host: Validating, hub: HubDouble) -> None:
    about = {"sdk": "gradio", "runtime": {"stage": "RUNNING", "hardware": {"current": "t4-small"}}}
    hub.add("me/app", SHA, {"app.py": ""}, subdomain="me-app", **about)
    row = await host.row("me/app")
    marks = {one["name"]: one["status"] for one in row["checks"]}
    assert (row["works"], row["stored"], marks["image"]) == (True, False, "ok")
    assert marks["gpu"] == "unknown"


async def test_the_catalogue_tells_the_secrets_and_how_old_its_words_are(
    host: Validating, hub: HubDouble, tmp_path: Path
) -> None:
    clock = [time.time()]
    code = 'import os\nKEY = os.environ["ACME_API_KEY"]\n'
    hub.add("me/keyed", SHA, {"app.py": code, "README.md": ""}, sdk="gradio", cardData={"app_file": "app.py"})
    catalogue = Catalogue(host.settings.images, tmp_path, lambda: clock[0], pause=0.0)
    reader = HubReader(catalogue, lambda: clock[0], token=False)
    found = await reader.news("me/keyed")
    assert found.space is not None
    assert (found.space.sdk, found.space.secrets, found.stale) == ("gradio", ("ACME_API_KEY",), False)
    assert (await reader.news("me/none")).missing
    catalogue.close()
    away = host.settings.images.model_copy(update={"hub_endpoint": f"http://{NOWHERE}"})
    silent = Catalogue(away, tmp_path, lambda: clock[0], pause=0.0)
    clock[0] += 3 * 3600
    later = await HubReader(silent, lambda: clock[0], token=False).news("me/keyed")
    assert (later.space, later.stale, "3 h old" in later.why) == (found.space, True, True)
    silent.close()


async def test_the_image_that_the_hub_keeps_is_found_by_its_name_there(
    host: Validating, hub: HubDouble, registry: str
) -> None:
    hub.add("me/kept", SHA, {}, subdomain="me-kept-cut", sdk="docker")
    await asyncio.to_thread(put, f"{registry}/me-kept-cut:cpu-{SHA[:7]}", changes=['CMD ["/serve"]'])
    [image] = [one for one in (await host.row("me/kept"))["checks"] if one["name"] == "image"]
    assert f"me-kept-cut:cpu-{SHA[:7]} can be pulled" in image["reason"]
    declare(host.registry, "named", {"hub_id": "me/other", "subdomain": "me-kept-cut"})
    hub.add("me/other", SHA, {}, subdomain="wrong", sdk="docker")
    [image] = [one for one in (await host.row("named"))["checks"] if one["name"] == "image"]
    assert "me-kept-cut" in image["reason"]


async def test_spaces_that_have_nothing_to_call_or_are_gone_do_not_work(
    host: Validating, hub: HubDouble
) -> None:
    hub.add("me/page", SHA, {}, sdk="static")
    assert "static page" in (await host.row("me/page"))["reason"]
    assert "has no Space me/gone" in (await host.row("me/gone"))["reason"]


async def test_what_this_host_does_not_have_is_named(host: Validating, hub: HubDouble) -> None:
    hub.add("me/app", SHA, {"app.py": ""}, sdk="gradio")
    wants = {"memory": "900GB", "secrets": ["API_KEY"], "platform": "windows/amd64"}
    declare(host.registry, "greedy", {"hub_id": "me/app", **wants})
    marks = await host.checks("greedy")
    assert {name: marks[name] for name in ("memory", "secrets", "platform")} == dict.fromkeys(
        ("memory", "secrets", "platform"), "bad"
    )


async def test_a_deep_one_starts_and_calls_and_weighs_more_than_the_next(host: Validating) -> None:
    declare(host.registry, "openapi-sentiment", {"repository": str(SPACES / "openapi-sentiment")})
    row = await host.row("openapi-sentiment", deep=True)
    assert (row["works"], row["endpoint"]) == (True, "/predict"), row
    assert {"start", "call"} <= row["seconds"].keys()
    assert [one["endpoint"] for one in row["endpoints"] if one["chosen"]] == ["/predict"]
    assert "it answered a trial call to /predict with text" in row["reason"]
    assert "waiting until it answers" in host.said
    tried = host.verdict("openapi-sentiment")
    assert isinstance(tried, Verdict)
    assert (tried.deep, tried.digest) == (True, row["digest"])
    assert (await host.checks("openapi-sentiment"))["trial"] == "ok"
    assert host.verdict("openapi-sentiment") == tried


async def test_a_deep_one_uses_the_apps_own_example(host: Validating) -> None:
    fields = {"repository": str(SPACES / "sentiment"), "output_type": "image"}
    declare(host.registry, "sentiment", fields)
    row = await host.row("sentiment", deep=True)
    [chosen] = [one for one in row["endpoints"] if one["chosen"]]
    assert chosen["example"] == {"text": "I love this!"}
    # It works, but not as its entry says.
    assert (row["works"], "its entry promises image" in row["reason"]) == (False, True)


async def test_a_deep_one_says_why_an_app_does_not_start(host: Validating) -> None:
    declare(host.registry, "broken-import", {"repository": str(SPACES / "broken-import")})
    row = await host.row("broken-import", deep=True)
    assert row["works"] is False
    assert "KeyError" in row["reason"]
    # What is known from outside does not make it good again.
    assert (await host.row("broken-import"))["works"] is False


async def test_the_tiers_are_told_in_time_where_an_endpoint_hangs(tmp_path: Path, redis_url: str) -> None:
    over = asyncio.Event()

    async def models(request: web.Request) -> web.StreamResponse:
        if "hanging" in request.path:
            await over.wait()
        return web.json_response({"object": "list", "data": [{"id": "small"}, {"id": "large"}]})

    async with served(models) as address, connect(redis_url) as redis:
        urls = {"fine": address, "hanging": address, "absent": NOWHERE}
        endpoints = tuple(
            ModelEndpoint(name=name, base_url=f"http://{where}/{name}", tier=Tier.FAST)
            for name, where in urls.items()
        )
        async with Validating(tmp_path / "state", redis_url, {}, endpoints) as host:
            declare(host.registry, "static", {"repository": str(SPACES / "static")})
            await host.row("static")
            found = await _tiers(host, redis)
        over.set()
    assert [(one["name"], one["state"], one["models"]) for one in found["models"]] == [
        ("fine", "ready", ["small", "large"]),
        ("hanging", "absent", []),
        ("absent", "absent", []),
    ]
    assert "no answer within" in found["models"][1]["why"]
    assert (found["spaces"]["registered"], found["spaces"]["not_working"]) == (1, 1)
    assert found["host"]["engine"]["version"]
    assert found["host"]["memory"]["free"] == found["host"]["memory"]["budget"] > 0
    files = {"at": "redis", "free": None, "why": None}
    assert (found["redis"], found["default"]) == ({"connected": True, "queue": 0, "files": files}, None)


async def _tiers(host: Validating, redis: Redis) -> dict[str, Any]:
    async with asyncio.timeout(60):
        return (await asked(host.look, Call(id="1", op=Op.TIERS), redis)).data
