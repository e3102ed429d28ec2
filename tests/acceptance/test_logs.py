"""`spacedock logs`: what a Space's containers have written, by a real daemon."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.acceptance.conftest import StartDaemon
from tests.acceptance.running import BIN, SPACES, Daemon

TOKEN = "hf_never-told"
OPERATION = {"path": "/", "body": {"text": "{prompt}"}, "response": "/said"}


def talker(**more: Any) -> dict[str, Any]:
    entry = {"repository": str(SPACES / "talker"), "operation": OPERATION, "secrets": ["TOKEN"]}
    return {**entry, **more}


@pytest.fixture(scope="module")
def daemon(make_daemon: StartDaemon) -> Daemon:
    """A daemon with two Spaces that tell their log what they are asked, and their token."""
    daemon = make_daemon(start=False)
    spaces = {name: talker(id=name) for name in ("talker", "whisperer")}
    (daemon.folder / "registry.yaml").write_text(yaml.safe_dump({"spaces": spaces}))
    for name in spaces:
        secret = Path(daemon.folder, "state/secrets", name, "TOKEN")
        secret.parent.mkdir(parents=True)
        secret.write_text(TOKEN)
    daemon.start()
    return daemon


def ask(daemon: Daemon, prompt: str, space: str, *options: str) -> None:
    ran = daemon.spacedock("run", prompt, "--space", space, "--no-fallback", *options)
    assert (ran.code, ran.out.strip()) == (0, prompt.upper()), ran.err


def test_a_log_is_shown_without_the_secrets_in_it(daemon: Daemon) -> None:
    ask(daemon, "ahoy", "talker")
    ask(daemon, "again", "talker")
    shown = daemon.spacedock("logs", "--space", "talker")
    assert shown.out.splitlines() == ["asked ahoy with the token ***", "asked again with the token ***"]
    [said] = json.loads(daemon.spacedock("logs", "--space", "talker", "-n", "1", "--json").out).values()
    assert said == "asked again with the token ***"


def test_a_log_is_followed(daemon: Daemon) -> None:
    ask(daemon, "before", "talker")
    command = [str(BIN / "spacedock"), "logs", "--space", "talker", "-n", "1", "-f"]
    env = {**daemon.env, "SPACEDOCK_REDIS_URL": daemon.url}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        try:
            assert following.stdout.readline() == "asked before with the token ***\n"
            ask(daemon, "after", "talker")
            assert following.stdout.readline() == "asked after with the token ***\n"
        finally:
            following.terminate()


def test_a_job_has_a_story_and_a_private_one_has_none(daemon: Daemon) -> None:
    ran = daemon.spacedock("run", "ahoy", "--space", "talker", "--json")
    shown = daemon.spacedock("logs", json.loads(ran.out)["id"])
    assert shown.code == 0, shown.err
    assert "talker (heavy) answered after" in shown.out
    assert "ahoy" not in shown.out.lower()
    ran = daemon.spacedock("run", "hush", "--space", "whisperer", "--privacy", "--json")
    refused = daemon.spacedock("logs", json.loads(ran.out)["id"])
    assert (refused.code, "it runs in privacy mode" in refused.err) == (2, True)


def test_no_log_is_kept_in_privacy_mode(daemon: Daemon) -> None:
    ask(daemon, "hush", "whisperer", "--privacy")
    refused = daemon.spacedock("logs", "--space", "whisperer")
    assert (refused.code, refused.out) == (2, "")
    assert "no log is kept of 'whisperer': it runs in privacy mode" in refused.err


def test_without_a_container_it_is_said_where_to_look(daemon: Daemon) -> None:
    refused = daemon.spacedock("logs", "--space", "nobody")
    assert refused.code == 2
    assert "no container of 'nobody' is here" in refused.err
    assert "spacedock result JOB" in refused.err
