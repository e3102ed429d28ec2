"""What the catalogue makes of a Hub that is over its limit, out of order, slow, odd or closed."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from time import process_time

import pytest
from aiohttp import web
from tests.hub import TOKEN, HubDouble
from tests.served import served
from tests.unit.catalogues import SHA, Clock, add, again, filled

from spacedock_worker.hub.catalogue import Catalogue, HubSpace
from spacedock_worker.images.hub_errors import (
    HubError,
    HubLimitedError,
    HubOddError,
    HubRefusedError,
    HubSilentError,
)
from spacedock_worker.images.settings import ImageSettings


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
    async with asyncio.timeout(60):
        with pytest.raises(HubSilentError, match="does not answer"):
            await catalogue.about("ann/listen", seconds=0.3)
    hub.held.set()


async def test_an_answer_that_never_ends_is_not_waited_for(catalogue: Catalogue, hub: HubDouble) -> None:
    hub.dripping = True
    async with asyncio.timeout(60):
        with pytest.raises(HubSilentError, match="in time"):
            await catalogue.about("ann/listen", seconds=0.3)


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


async def test_an_answer_of_many_small_parts_is_not_read(catalogue: Catalogue, hub: HubDouble) -> None:
    hub.odd = b"[" + b"[]," * 110_000 + b"[]]"
    with pytest.raises(HubOddError, match="too many lists and objects"):
        await catalogue.search("speech")


async def test_an_answer_is_not_unpacked(catalogue: Catalogue, hub: HubDouble) -> None:
    hub.odd, hub.packed = gzip.compress(b" " * (32 * 2**20)), True
    with pytest.raises(HubOddError, match="packed"):
        await catalogue.search("speech")


async def test_long_texts_are_cut(catalogue: Catalogue, hub: HubDouble) -> None:
    add(hub, "eve/long", "talk " * 10_000, "Other", tags=["t" * 5000] * 500)
    hub.spaces["eve/long"]["commits"][SHA]["app.py"] = b"x" * (6 * 2**20)
    space, _ = await catalogue.about("eve/long")
    assert len(space.description) == 300
    assert (len(space.tags), len(space.tags[0])) == (40, 100)


@pytest.mark.parametrize(
    "odd",
    ["---" + "\n" * 200_000 + "x", "---\n" + "\n--- " * 40_000, "SET_THE_" * 30_000, "os.environ[" * 20_000],
    ids=["lines", "rulers", "names", "reads"],
)
async def test_texts_that_are_made_to_keep_us_busy_are_read_in_time(
    catalogue: Catalogue, hub: HubDouble, odd: str
) -> None:
    add(hub, "eve/odd", odd[:20_000], "Other")
    hub.spaces["eve/odd"]["commits"][SHA] = {"README.md": odd.encode(), "app.py": odd.encode()}
    begun = process_time()
    await catalogue.about("eve/odd")
    assert process_time() - begun < 2


@pytest.mark.parametrize(("number", "share"), [("9" * 400, 1.0), ("-" + "9" * 400, 0.0), ("NaN", 0.0)])
async def test_a_relevance_that_is_no_share_is_bounded(
    catalogue: Catalogue, hub: HubDouble, number: str, share: float
) -> None:
    hub.odd = f'[{{"id": "ann/listen", "sdk": "gradio", "semanticRelevancyScore": {number}}}]'.encode()
    (space,) = (await catalogue.search("speech")).spaces
    assert space.relevance == share


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


async def test_nobody_but_the_hub_hears_the_token(
    settings: ImageSettings, hub: HubDouble, tmp_path: Path
) -> None:
    heard: list[str | None] = []

    async def overhear(request: web.Request) -> web.Response:
        heard.append(request.headers.get("Authorization"))
        return web.json_response([])

    for number in range(11):
        add(hub, f"eve/many-{number}", "x", "Other", tags=["automatic-speech-recognition"])
    mine = again(settings, tmp_path, Clock(), hub_token=TOKEN)
    async with served(overhear) as other:
        hub.elsewhere = f"http://{other}/next"
        await mine.discover("audio_processing")
    mine.close()
    assert heard == [None]


async def test_a_gated_space_is_told_as_one(catalogue: Catalogue, hub: HubDouble) -> None:
    add(hub, "eve/gate", "Transcribe speech", "Speech Recognition", gated="manual")
    space, _ = await catalogue.about("eve/gate")
    assert (space.gated, space.secrets) == (True, ())
