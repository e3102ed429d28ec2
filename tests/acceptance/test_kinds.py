"""Spaces of every kind, from the command line: APIs, programs, logins, endpoints, and answers that grow."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.acceptance.running import FIXTURES, Daemon

from spacedock import Client


def test_an_app_with_a_json_api_answers(daemon: Daemon) -> None:
    ran = daemon.spacedock("run", "what a wonderful day", "--space", "openapi-sentiment", "--json")
    assert (ran.code, ran.result["output"]["text"]) == (0, "glad")
    assert ran.result["answered_by"]["endpoint"] == "/predict"


def test_a_program_answers_with_its_output_and_files(daemon: Daemon, tmp_path: Path) -> None:
    file = str(FIXTURES / "note.txt")
    options = ("--space", "command-count", "--file", file, "--json", "--output-dir", str(tmp_path))
    ran = daemon.spacedock("run", "one two three", *options)
    assert (ran.code, ran.result["output"]["text"]) == (0, "3 words")
    assert ran.result["output"]["data"]["exit_code"] == 0
    assert [path.name for path in tmp_path.iterdir()] == [f["name"] for f in ran.result["output"]["files"]]


def test_an_app_with_a_login_is_entered_and_its_password_stays_here(daemon: Daemon) -> None:
    ran = daemon.spacedock("run", "Ada", "--space", "g-auth", "--no-fallback")
    assert ran.out == "Welcome to the club, Ada.\n"
    shown = daemon.spacedock("spaces", "show", "g-auth")
    assert json.loads(shown.out)["auth"] == {"username": "ada"}
    assert "lovelace" not in daemon.spacedock("spaces", "list", "--json").out + daemon.log


def test_the_choice_of_the_endpoint_is_shown_with_its_reasons(daemon: Daemon) -> None:
    asking = ("spaces", "show", "g-buttons", "--endpoints", "--prompt", "an old pond / splash")
    ran = daemon.spacedock(*asking)
    first, reasons, *_ = ran.out.splitlines()
    assert first.startswith("* /infer(prompt: textbox, ")
    assert "takes the prompt" in reasons
    rows = json.loads(daemon.spacedock(*asking, "--json").out)
    assert {row["endpoint"]: row["chosen"] for row in rows if row["chosen"]} == {"/infer": True}
    assert next(row for row in rows if row["endpoint"] == "/toggle")["reasons"] == ["out: it takes no input"]


async def test_text_is_heard_as_it_grows_but_not_in_privacy_mode(daemon: Daemon) -> None:
    words = "one two three four five six seven eight"

    async def heard(client: Client, *, privacy: bool) -> list[str]:
        job = await client.submit(words, space="g-generator", privacy=privacy)
        return [event.partial async for event in client.watch(job) if event.partial]

    async with Client(daemon.url) as client:
        open_parts = await heard(client, privacy=False)
        private_parts = await heard(client, privacy=True)
    assert len(open_parts) > 1
    assert all(words.startswith(part) for part in open_parts)
    assert private_parts == []


async def test_a_cancelled_call_leaves_an_app_that_stopped_warm(daemon: Daemon) -> None:
    async with Client(daemon.url) as client:
        job = await client.submit("go on", space="g-long", endpoint="/stream", timeout=300)
        async for event in client.watch(job):
            if event.partial:
                await client.cancel(job)
        assert (await client.result(job)).state == "cancelled"
        async with asyncio.timeout(60):
            after = await client.run(space="g-long", endpoint="/beats")
    assert after.timings.start == 0.0
