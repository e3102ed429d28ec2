"""What a job would do, told beforehand by a real daemon, and that nothing is run for it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.acceptance.running import FIXTURES, Daemon

from spacedock import SpacedockError, SyncClient
from spacedock.prepare import prepare


def plan_of(daemon: Daemon, prompt: str, space: str | None = None, **options: Any) -> dict[str, Any]:
    request, payloads = prepare(prompt, options.pop("files", ()), space, options)
    with SyncClient(daemon.url) as client:
        return client.plan(request, payloads)


def test_a_plan_knows_the_endpoint_of_a_space_that_has_run_here(daemon: Daemon) -> None:
    assert daemon.spacedock("run", "I love it", "--space", "sentiment").code == 0
    before = len(daemon.events)
    first, *others = plan_of(daemon, "I love it", "sentiment")["steps"]
    assert (first["name"], first["taken"], first["image"]["state"]) == ("sentiment", True, "here")
    assert first["container"] in ("running", "paused")
    assert first["image"]["bytes"] > 0
    assert {"input": "text", "from": "the prompt"} in first["mapping"]
    assert others[-1]["name"] == "smollm"
    assert all(step["reason"] for step in others)
    assert not [event for event in daemon.events[before:] if event["event"].startswith("job.")]


def test_a_plan_says_beforehand_what_the_app_will_not_take(daemon: Daemon) -> None:
    assert daemon.spacedock("run", "I love it", "--space", "sentiment").code == 0
    [step, *_] = plan_of(daemon, "", "sentiment", files=[FIXTURES / "sign.png"])["steps"]
    assert "sign.png" in step["misfit"]


def test_a_plan_of_what_is_not_here_gets_nothing(daemon: Daemon) -> None:
    [step, *_] = plan_of(daemon, "hello", "nobody/unheard-of", privacy=True)["steps"]
    assert (step["image"]["state"], step["endpoint"], step["mapping"]) == ("to pull or build", None, None)
    assert (step["container"], step["limits"]["network"]) == ("none", "sealed")
    with pytest.raises(SpacedockError, match="no Space 'sentimnt'"):
        plan_of(daemon, "hello", "sentimnt")


def test_a_directory_that_cannot_be_run_is_told_so(daemon: Daemon) -> None:
    plan = plan_of(daemon, "hello", str(FIXTURES.parent / "static"))
    assert plan["steps"][0]["image"]["state"] == "to build"
    assert "static page" in plan["warnings"][0]
