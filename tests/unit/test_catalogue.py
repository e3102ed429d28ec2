"""The catalogue against a double of the Hub's HTTP API (tests/hub.py), by the real huggingface_hub."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from tests.hub import TOKEN, HubDouble
from tests.served import served

from spacedock_worker.images import ImageSettings
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.registry.hub.catalogue import Catalogue, HubSpace, entry_of
from spacedock_worker.registry.hub.errors import (
    HubError,
    HubLimitedError,
    HubOddError,
    HubOfflineError,
    HubRefusedError,
    HubSilentError,
)

SHA = "a" * 40
README = "---\nsdk: gradio\n---\n# Listen\nSet the secret MY_API_KEY in the settings.\n"
APP = (
    'import os\ntoken = os.environ["HF_TOKEN"]\nport = os.getenv("PORT")\nkey = os.getenv("OPENAI_API_KEY")\n'
)


class Clock:
    """A clock that is turned by hand."""

    def __init__(self) -> None:
        self.time = 1_700_000_000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hub() -> HubDouble:
    hub = HubDouble()
    add(hub, "ann/listen", "Transcribe speech to text", "Speech Recognition", likes=120)
    add(hub, "bob/listen-too", "Transcribe speech quickly", "Speech Recognition", likes=3)
    add(hub, "cat/page", "Transcribe speech on a page", "Speech Recognition", sdk="static")
    add(hub, "dan/paint", "Generate an image from text", "Image Generation", likes=9)
    return hub


def add(hub: HubDouble, hub_id: str, description: str, ai_category: str, **more: Any) -> None:
    said = {
        "sdk": "gradio",
        "likes": 0,
        "private": False,
        "tags": ["gradio", "region:us"],
        "runtime": {"stage": "RUNNING", "hardware": {"current": "cpu-basic", "requested": "cpu-basic"}},
        "lastModified": "2026-05-04T03:02:01.000Z",
        "subdomain": hub_id.replace("/", "-"),
        "ai_short_description": description,
        "ai_category": ai_category,
        "cardData": {"title": hub_id.partition("/")[2], "short_description": description, "license": "mit"},
    }
    hub.add(hub_id, SHA, {"README.md": README, "app.py": APP}, **said | more)


@pytest.fixture
async def settings(hub: HubDouble) -> AsyncIterator[ImageSettings]:
    async with served(hub.handle) as address:
        yield ImageSettings(hub_endpoint=f"http://{address}")


@pytest.fixture
async def catalogue(settings: ImageSettings, tmp_path: Path, clock: Clock) -> AsyncIterator[Catalogue]:
    catalogue = Catalogue(settings, tmp_path, clock, pause=0.01)
    yield catalogue
    catalogue.close()


def again(settings: ImageSettings, folder: Path, clock: Clock, **changes: Any) -> Catalogue:
    """The catalogue of another start of the worker on the same state directory."""
    return Catalogue(settings.model_copy(update=changes), folder, clock, pause=0.01)


async def test_a_search_gives_what_can_be_called_the_best_first(catalogue: Catalogue) -> None:
    found = await catalogue.search("transcribe speech")
    assert [space.id for space in found.spaces] == ["ann/listen", "bob/listen-too"]
    assert (found.cached_at, found.note) == (None, None)
    first = found.spaces[0]
    assert (first.category, first.input_type, first.output_type) == ("audio_processing", "audio", "text")
    assert (first.likes, first.stage, first.hardware) == (120, "RUNNING", "cpu-basic")


async def test_a_search_within_a_category_leaves_others_out(catalogue: Catalogue) -> None:
    found = await catalogue.search("text", "image_processing")
    assert [space.id for space in found.spaces] == ["dan/paint"]


async def test_spaces_that_sleep_are_found(catalogue: Catalogue, hub: HubDouble) -> None:
    add(hub, "eve/asleep", "Reads handwriting", "OCR", runtime={"stage": "SLEEPING"})
    assert [space.id for space in (await catalogue.search("handwriting")).spaces] == ["eve/asleep"]


async def test_a_broken_space_comes_after_one_that_runs(catalogue: Catalogue, hub: HubDouble) -> None:
    broken = {"stage": "RUNTIME_ERROR"}
    add(hub, "eve/listen", "Transcribe speech to text", "Speech Recognition", likes=121, runtime=broken)
    ids = [space.id for space in (await catalogue.search("transcribe speech")).spaces]
    assert ids == ["ann/listen", "bob/listen-too", "eve/listen"]


async def test_discovery_joins_searches_and_lists_and_names_each_space_once(
    catalogue: Catalogue, hub: HubDouble
) -> None:
    for number in range(25):
        tags = ["automatic-speech-recognition"]
        add(hub, f"lab/ear-{number}", "x", "Other", tags=tags, likes=number)
    found = await catalogue.discover("audio_processing", limit=100)
    ids = [space.id for space in found.spaces]
    assert len(ids) == len(set(ids)) == 22
    assert ids[0] == "ann/listen"
    assert {space.category for space in found.spaces} == {"audio_processing"}
    assert hub.asked.count("/api/spaces") == 2, "a list has pages of ten"


async def test_a_category_of_ones_own_is_searched_for_by_its_words(
    catalogue: Catalogue, hub: HubDouble
) -> None:
    add(hub, "eve/birds", "Tells birds by their plumage", "Other")
    found = await catalogue.discover("bird_plumage")
    assert [(space.id, space.category) for space in found.spaces] == [("eve/birds", "bird_plumage")]


async def test_all_is_told_of_one_space(catalogue: Catalogue, hub: HubDouble) -> None:
    hub.models["lab/whisper"] = {"pipeline_tag": "automatic-speech-recognition"}
    add(hub, "ann/ear", "Hear", "Other", models=["lab/whisper", "lab/gone"], tags=["gradio", "license:mit"])
    space, cached_at = await catalogue.about("ann/ear")
    assert cached_at is None
    assert (space.sdk, space.license, space.sha, space.subdomain) == ("gradio", "mit", SHA, "ann-ear")
    assert space.last_modified is not None
    assert space.last_modified.isoformat() == "2026-05-04T03:02:01+00:00"
    assert space.secrets == ("HF_TOKEN", "OPENAI_API_KEY", "MY_API_KEY")
    assert (space.category, space.confidence) == ("audio_processing", 0.85)
    assert space.reason == "its model lab/whisper does automatic-speech-recognition"


async def test_a_short_question_asks_about_the_space_alone(catalogue: Catalogue, hub: HubDouble) -> None:
    add(hub, "ann/ear", "Hear", "Other", models=["lab/whisper"])
    space, _ = await catalogue.about("ann/ear", whole=False)
    assert space.models == ("lab/whisper",)
    assert all(path.startswith(("/api/spaces/ann/ear", "/spaces/ann/ear/resolve")) for path in hub.asked)
    assert not any(path.endswith("app.py") for path in hub.asked)


async def test_a_registry_takes_what_the_hub_said(catalogue: Catalogue) -> None:
    space, _ = await catalogue.about("ann/listen")
    entry = SpaceEntry.model_validate({"id": space.id, **entry_of(space)})
    assert (entry.hub_id, entry.subdomain, entry.likes) == ("ann/listen", "ann-listen", 120)
    assert (entry.category, entry.hardware, entry.tags) == ("audio_processing", "cpu-basic", ("gradio",))
    assert entry.description == "Transcribe speech to text"


async def test_a_question_is_not_asked_again_within_minutes(
    catalogue: Catalogue, hub: HubDouble, clock: Clock
) -> None:
    await catalogue.search("transcribe speech")
    asked = len(hub.asked)
    clock.time += 299
    found = await catalogue.search("  transcribe  speech ")
    assert (len(hub.asked), found.cached_at, found.note) == (asked, clock.time - 299, None)
    clock.time += 2
    assert (await catalogue.search("transcribe speech")).cached_at is None


async def test_a_hub_that_is_away_answers_from_what_was_kept(
    settings: ImageSettings, catalogue: Catalogue, tmp_path: Path, clock: Clock
) -> None:
    await catalogue.search("transcribe speech")
    clock.time += 3 * 3600
    away = again(settings, tmp_path, clock, hub_endpoint="http://127.0.0.1:9")
    found = await away.search("transcribe speech")
    assert found.cached_at == clock.time - 3 * 3600
    assert found.note == "the Hub cannot be reached: this is what it said 3 h ago"
    other = await away.search("speech quickly")
    assert [space.id for space in other.spaces] == ["bob/listen-too"]
    assert "for other questions" in str(other.note)
    with pytest.raises(HubSilentError, match="cannot be reached"):
        await away.search("something new")
    away.close()


async def test_offline_nothing_is_asked(
    settings: ImageSettings, catalogue: Catalogue, hub: HubDouble, tmp_path: Path, clock: Clock
) -> None:
    await catalogue.about("ann/listen")
    clock.time += 90_000
    hub.asked.clear()
    offline = again(settings, tmp_path, clock, hub_offline=True)
    space, cached_at = await offline.about("ann/listen")
    assert (space.id, cached_at) == ("ann/listen", clock.time - 90_000)
    with pytest.raises(HubOfflineError, match="HF_HUB_OFFLINE"):
        await offline.about("bob/listen-too")
    with pytest.raises(HubOfflineError):
        await offline.search("painting")
    assert hub.asked == []
    offline.close()


async def test_a_limit_is_kept_to_until_it_is_over(catalogue: Catalogue, hub: HubDouble) -> None:
    hub.limited = 55
    with pytest.raises(HubLimitedError, match="for another 55 s"):
        await catalogue.search("transcribe speech")
    assert len(hub.asked) == 1
    with pytest.raises(HubLimitedError, match=r"another 5\d s"):
        await catalogue.about("ann/listen")
    assert len(hub.asked) == 1


async def test_a_limit_is_kept_to_before_it_is_reached(catalogue: Catalogue, hub: HubDouble) -> None:
    hub.remaining = 0
    assert (await catalogue.search("transcribe speech")).spaces
    with pytest.raises(HubLimitedError):
        await catalogue.search("image")
    assert len(hub.asked) == 1


async def test_over_the_limit_what_was_kept_is_told(
    catalogue: Catalogue, hub: HubDouble, clock: Clock
) -> None:
    await catalogue.discover("audio_processing")
    clock.time += 600
    hub.limited = 120
    found = await catalogue.discover("audio_processing")
    assert [space.id for space in found.spaces] == ["ann/listen", "bob/listen-too"]
    assert found.note == (
        "the Hub is not to be asked for another 120 s, as its limit of requests is reached: "
        "this is what it said 10 min ago"
    )


async def test_a_hub_out_of_order_is_asked_once_more(catalogue: Catalogue, hub: HubDouble) -> None:
    hub.broken = 1
    assert (await catalogue.search("transcribe speech")).spaces
    assert len(hub.asked) == 2


async def test_a_hub_that_stays_out_of_order_is_told_of_and_left_alone(
    catalogue: Catalogue, hub: HubDouble
) -> None:
    hub.broken = 9
    with pytest.raises(HubSilentError, match="out of order"):
        await catalogue.search("transcribe speech")
    with pytest.raises(HubSilentError, match="out of order"):
        await catalogue.search("transcribe speech")
    assert len(hub.asked) == 2


async def test_a_slow_hub_is_not_waited_for(catalogue: Catalogue, hub: HubDouble) -> None:
    hub.held = asyncio.Event()
    started = monotonic()
    with pytest.raises(HubSilentError, match="does not answer"):
        await catalogue.about("ann/listen", seconds=0.3)
    assert monotonic() - started < 3
    hub.held.set()


async def test_an_answer_that_never_ends_is_not_waited_for(catalogue: Catalogue, hub: HubDouble) -> None:
    hub.dripping = True
    started = monotonic()
    with pytest.raises(HubSilentError, match="in time"):
        await catalogue.about("ann/listen", seconds=0.3)
    assert monotonic() - started < 1


async def spaces_or_none(catalogue: Catalogue) -> tuple[HubSpace, ...] | None:
    """What a search finds; None where the answer is told as one that cannot be read."""
    try:
        return (await catalogue.search("speech")).spaces
    except HubOddError:
        return None


@pytest.mark.parametrize(
    "odd",
    [b"<html>", b"[]", b"null", b'{"id": 5}', b'[{"id": 5}]', b'{"error": "x"}', b'["x"]', b"[" * 100_000],
)
async def test_an_answer_of_another_shape_is_an_error_of_ours(
    catalogue: Catalogue, hub: HubDouble, odd: bytes
) -> None:
    hub.odd = odd
    with pytest.raises(HubError):
        await catalogue.about("ann/listen")
    assert await spaces_or_none(catalogue) in (None, ())


async def test_an_endless_answer_is_cut(catalogue: Catalogue, hub: HubDouble) -> None:
    hub.odd = b" " * (5 * 2**20)
    with pytest.raises(HubOddError, match="more than 4 MB"):
        await catalogue.search("speech")


async def test_long_texts_are_cut(catalogue: Catalogue, hub: HubDouble) -> None:
    add(hub, "eve/long", "talk " * 10_000, "Other", tags=["t" * 5000] * 500)
    hub.spaces["eve/long"]["commits"][SHA]["app.py"] = b"x" * (6 * 2**20)
    space, _ = await catalogue.about("eve/long")
    assert len(space.description) == 300
    assert (len(space.tags), len(space.tags[0])) == (40, 100)


async def test_a_space_that_is_not_there_may_be_private(catalogue: Catalogue, hub: HubDouble) -> None:
    add(hub, "eve/secret", "x", "Other", private=True)
    for hub_id in ("no/such", "eve/secret", "a--b/c"):
        with pytest.raises(HubRefusedError, match=f"no Space {hub_id}, or it is private"):
            await catalogue.about(hub_id)


async def test_a_token_opens_what_is_private(settings: ImageSettings, hub: HubDouble, tmp_path: Path) -> None:
    add(hub, "eve/secret", "x", "Other", private=True)
    mine = again(settings, tmp_path, Clock(), hub_token=TOKEN)
    space, _ = await mine.about("eve/secret")
    assert space.private
    mine.close()
    wrong = again(settings, tmp_path, Clock(), hub_token="hf_wrong")
    with pytest.raises(HubRefusedError, match="refuses the token"):
        await wrong.about("ann/listen", whole=False)
    wrong.close()


async def test_a_gated_space_is_told_as_one(catalogue: Catalogue, hub: HubDouble) -> None:
    add(hub, "eve/gate", "Transcribe speech", "Speech Recognition", gated="manual")
    space, _ = await catalogue.about("eve/gate")
    assert (space.gated, space.secrets) == (True, ())
