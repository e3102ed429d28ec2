"""`spacedockd config`, and what a reload makes of a changed configuration."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from structlog.testing import capture_logs

from spacedock.configuration import ConfigError
from spacedock_worker.settings import WorkerSettings
from spacedockd.commands import config
from spacedockd.http.settings import HttpSettings
from spacedockd.notify import Notifier
from spacedockd.reloading import Reloader, difference
from spacedockd.settings import DaemonSettings, settled

ENV = {"HOME": "/nowhere"}


def settings(**fields: Any) -> DaemonSettings:
    return settled(fields, ENV, 0)


def test_the_example_uncommented_is_the_defaults() -> None:
    assert yaml.safe_load(config.example()) is None
    fields = yaml.safe_load(re.sub(r"(?m)^# ", "", config.example()))
    assert fields.keys() == DaemonSettings.model_fields.keys()
    assert settled(fields, {}, 0) == settled({}, {}, 0)


def test_the_schema_takes_the_example_and_refuses_another_key() -> None:
    schema = json.loads(config.schema())
    jsonschema.validate({"max_jobs": 5, "http": False, "containers": {"memory": 2**28}}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"max_job": 5}, schema)


def test_what_counts_is_shown_without_secrets(tmp_path: Path) -> None:
    file = tmp_path / "spacedockd.yaml"
    file.write_text(
        "redis_url: redis://me:open-sesame@db\nimages: {hub_token: open-sesame}\n"
        "models: [{name: m, base_url: 'http://m/v1', model: m, api_key: open-sesame}]\n"
    )
    told = config.in_force(file, {}, ENV, 0)
    assert "open-sesame" not in told
    assert yaml.safe_load(told)["redis_url"] == "redis://me:***@db"
    file.write_text("http: off\n")
    assert yaml.safe_load(config.in_force(file, {}, ENV, 0))["http"] is False
    assert config.checked(file, {}, ENV, 0) == f"{file}: the configuration can be used"
    file.write_text("max_jobs: none\n")
    with pytest.raises(ConfigError, match="max_jobs"):
        config.checked(file, {}, ENV, 0)


def test_the_difference_tells_keys_and_of_secrets_only_that_they_changed() -> None:
    old = settings(max_jobs=5, images={"hub_token": "a"})
    assert difference(old, old) == {}
    new = settings(max_jobs=6, images={"hub_token": "b"}, containers={"memory": 2**28})
    assert difference(old, new) == {
        "max_jobs": "5 -> 6",
        "containers.memory": "2147483648 -> 268435456",
        "images": "a secret changed",
    }


class Worker:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[WorkerSettings] = []

    def renew(self, told: WorkerSettings) -> None:
        self.told.append(told)


class Door:
    """Notes what it is told; port 1 is taken."""

    def __init__(self) -> None:
        self.told: list[HttpSettings] = []

    def check(self, told: HttpSettings) -> None:
        if told.port == 1:
            raise ConfigError("http: port 1 is taken")

    async def renew(self, told: HttpSettings, models_as: Mapping[str, str]) -> None:
        self.told.append(told)


class Running:
    """A reloader that runs, and what it was given."""

    def __init__(self) -> None:
        self.worker, self.door, self.new = Worker(), Door(), settings()
        self.asked = asyncio.Event()
        self.heard: asyncio.Queue[str] = asyncio.Queue()

    def reread(self) -> DaemonSettings:
        return self.new

    async def reload(self, new: DaemonSettings) -> list[Any]:
        """Ask for it, and return what was logged once it is over."""
        self.new = new
        with capture_logs() as logged:
            self.asked.set()
            assert [await self.heard.get(), await self.heard.get()] == ["reloading", "reloaded"]
        return list(logged)


class Told(Notifier):
    """A notifier that tells the test."""

    def __init__(self, heard: asyncio.Queue[str]) -> None:
        super().__init__({}, 0)
        self._heard = heard

    def reloading(self) -> None:
        self._heard.put_nowait("reloading")

    def reloaded(self) -> None:
        self._heard.put_nowait("reloaded")


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    one = Running()
    reloader = Reloader(settings(), one.reread, one.worker, one.door, None, "unix:///nowhere")  # type: ignore[arg-type]
    task = asyncio.create_task(reloader.run(one.asked, Told(one.heard)))
    yield one
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_what_changed_is_renewed_and_nothing_else(running: Running) -> None:
    (logged,) = await running.reload(settings(max_jobs=5))
    assert (logged["event"], logged["changed"]) == ("reload.applied", {"max_jobs": "128 -> 5"})
    assert [told.max_jobs for told in running.worker.told] == [5]
    await running.reload(settings(max_jobs=5, http={"port": 7999}))
    assert ([told.port for told in running.door.told], len(running.worker.told)) == ([7999], 1)
    assert [one["event"] for one in await running.reload(settings(max_jobs=5, http={"port": 7999}))] == [
        "reload.unchanged"
    ]


async def test_the_daemons_own_log_follows_too(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    configured: list[tuple[str, str]] = []
    monkeypatch.setattr("spacedockd.reloading.configure", lambda *given: configured.append(given))
    await running.reload(settings(max_jobs=5))
    assert configured == []
    await running.reload(settings(max_jobs=5, log_level="debug", log_format="json"))
    assert configured == [("json", "debug")]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"queue_memory": 2**27}, "queue_memory cannot be changed while it runs: restart"),
        ({"http": False}, "http cannot be changed"),
        ({"http": {"port": 1}}, "port 1 is taken"),
        ({"retention": {"results": 60.0}}, "no Spacedock at unix:///nowhere"),
    ],
)
async def test_a_change_that_cannot_be_applied_leaves_all_others_undone(
    running: Running, fields: dict[str, Any], why: str
) -> None:
    (logged,) = await running.reload(settings(max_jobs=5, **fields))
    assert logged["event"] == "reload.refused"
    assert why in logged["why"]
    assert (running.worker.told, running.door.told) == ([], [])
