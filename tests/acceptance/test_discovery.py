"""Spaces of the Hub from the command line, by a real daemon; the Hub's API is a double (tests/hub.py)."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
from tests.acceptance.conftest import StartDaemon
from tests.acceptance.running import SPACES, Daemon
from tests.hub import HubDouble
from tests.image_registry import docker
from tests.served import serving

SHA = "c" * 40
SPACE = f"ann/mood-teller-{secrets.token_hex(3)}"
"""Of this run alone: its image shall not be here before."""

PAGE = f"https://huggingface.co/spaces/{SPACE}/tree/main"


@pytest.fixture(scope="module")
def hub() -> HubDouble:
    hub = HubDouble()
    folder = SPACES / "sentiment"
    files = {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}
    told = {
        "sdk": "gradio",
        "tags": ["text-classification"],
        "likes": 42,
        "subdomain": SPACE.replace("/", "-"),
    }
    card = {"title": "Mood teller", "short_description": "Tells the mood of a text", "license": "mit"}
    searched = {"ai_short_description": "Tells the mood of a text", "ai_category": "Sentiment Analysis"}
    hub.add(SPACE, SHA, files, cardData=card, **told, **searched)
    return hub


@pytest.fixture(scope="module")
def address(hub: HubDouble) -> Iterator[str]:
    with serving(hub.handle) as address:
        yield address


@pytest.fixture(scope="module")
def online(make_daemon: StartDaemon, address: str) -> Iterator[Daemon]:
    """A daemon that reaches the Hub, and no image registry of it."""
    daemon = make_daemon(images__hub_endpoint=f"http://{address}", images__hub_registry="127.0.0.1:9")
    yield daemon
    daemon.stop()
    if built := docker("images", "--quiet", f"spacedock/space-{SPACE.replace('/', '-')}").split():
        docker("image", "rm", "--force", *built)


def test_a_search_finds_what_is_here_and_on_the_hub(online: Daemon) -> None:
    found = online.spacedock("spaces", "search", "mood of a text", "--json").result
    assert [(row["id"], row["likes"]) for row in found["spaces"]] == [(SPACE, 42)]
    assert "mood" in [row["name"] for row in found["here"]]
    assert (found["cached_at"], found["note"]) == (None, None)


def test_a_category_is_discovered_in_the_seeds_words(online: Daemon) -> None:
    ran = online.spacedock("--discover-spaces", "text_processing")
    assert ran.code == 0, ran.err
    (line,) = [line for line in ran.out.splitlines() if line.startswith(f"{SPACE} ")]
    assert line.split()[1:6] == ["-", "text_processing", "text", "->", "text"]


def test_a_space_is_told_of_before_it_is_here(online: Daemon) -> None:
    ran = online.spacedock("spaces", "show", SPACE)
    assert ran.code == 0, ran.err
    assert "licence   mit" in ran.out
    assert "image     not known: its image registry cannot be asked" in ran.out
    missing = online.spacedock("spaces", "show", "no/such")
    assert (missing.code, missing.out) == (2, "")
    assert "the Hub has no Space no/such, or it is private" in missing.err


def test_a_page_that_a_job_names_runs_and_is_in_the_registry_from_then_on(
    online: Daemon, hub: HubDouble
) -> None:
    before = online.spacedock("spaces", "--json").out
    planned = online.spacedock("run", "I love it", "--space", PAGE, "--dry-run", "--json").result
    assert planned["steps"][0]["name"] == SPACE
    assert online.spacedock("spaces", "--json").out == before
    hub.asked.clear()
    ran = online.spacedock("run", "I love it", "--space", PAGE, "--no-fallback", "--json")
    assert ran.result["answered_by"]["name"] == SPACE, ran.err
    entry = online.spacedock("spaces", "show", SPACE).result
    assert (entry["hub_id"], entry["category"]) == (SPACE, "text_processing")
    assert (entry["description"], entry["likes"]) == ("Tells the mood of a text", 42)
    assert all(SPACE in path for path in hub.asked), "the Hub hears nothing of the prompt"
    told = online.spacedock("spaces", "show", SPACE, "--hub", "--json").result
    assert (told["image"]["state"], told["space"]["name"]) == ("here", SPACE)
    assert told["endpoints"]


def test_offline_the_answers_are_from_before_and_say_so(online: Daemon, hub: HubDouble) -> None:
    assert online.spacedock("spaces", "search", "mood of a text").code == 0
    online.stop()
    hub.asked.clear()
    online.env["HF_HUB_OFFLINE"] = "1"
    online.start()
    online.await_event("daemon.ready", 2)
    found = online.spacedock("spaces", "search", "the mood of a teller", "--json").result
    assert [row["id"] for row in found["spaces"]] == [SPACE]
    assert "HF_HUB_OFFLINE" in found["note"]
    ran = online.spacedock("run", "I hate it", "--space", SPACE, "--no-fallback", "--json")
    assert ran.result["state"] == "succeeded", ran.err
    unknown = online.spacedock("spaces", "show", "bob/unheard-of")
    assert unknown.code == 2
    assert "nothing was kept of it" in unknown.err
    assert hub.asked == []
