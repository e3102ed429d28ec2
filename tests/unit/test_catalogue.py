"""The catalogue against a double of the Hub's HTTP API (tests/hub.py), by the real huggingface_hub."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.hub import HubDouble
from tests.served import served
from tests.unit.catalogues import SHA, Clock, add, again, filled

from spacedock_worker.hub.catalogue import Catalogue, entry_of
from spacedock_worker.images.hub_errors import (
    HubOfflineError,
    HubSilentError,
)
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.registry.entry import SpaceEntry


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hub() -> HubDouble:
    return filled()


@pytest.fixture
async def settings(hub: HubDouble) -> AsyncIterator[ImageSettings]:
    async with served(hub.handle) as address:
        yield ImageSettings(hub_endpoint=f"http://{address}")


@pytest.fixture
async def catalogue(settings: ImageSettings, tmp_path: Path, clock: Clock) -> AsyncIterator[Catalogue]:
    catalogue = Catalogue(settings, tmp_path, clock, pause=0.01)
    yield catalogue
    catalogue.close()


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
