"""Spaces of the Hub on their way into the registry: named by a job, added by a person, searched for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from tests.control_calls import asked
from tests.hub import HubDouble
from tests.registries import declared, host
from tests.served import served

from spacedock._wire.connection import connect
from spacedock._wire.rpc import Call, Op
from spacedock.errors import BadRequestError
from spacedock.request import JobRequest, Tier
from spacedock_worker.control.finding import SearchHandler
from spacedock_worker.control.show_hub import offered
from spacedock_worker.hub.auto_register import AutoRegister, completing
from spacedock_worker.hub.catalogue import Catalogue
from spacedock_worker.images.hub_errors import HubError
from spacedock_worker.images.oci.survey import Availability, Offer
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.jobs.planner import candidates_for
from spacedock_worker.recommend.recommend import Recommender
from spacedock_worker.registry.catalogue import CatalogueStore
from spacedock_worker.registry.registry import Registry
from spacedock_worker.validation.findings import HubReader

SHA = "b" * 40
NO_REDIS = Redis()


@pytest.fixture
def hub() -> HubDouble:
    hub = HubDouble()
    for name, said in {
        "listen": {"sdk": "gradio", "tags": ["automatic-speech-recognition"], "likes": 7},
        "thing": {"sdk": "gradio", "tags": []},
        "page": {"sdk": "static", "tags": ["automatic-speech-recognition"]},
    }.items():
        files = {"README.md": "# It", "app.py": 'os.environ["MY_KEY"]'}
        hub.add(f"ann/{name}", SHA, files, **said, subdomain=f"ann-{name}", ai_short_description=f"A {name}")
    return hub


@pytest.fixture
async def catalogue(hub: HubDouble, tmp_path: Path) -> AsyncIterator[Catalogue]:
    async with served(hub.handle) as address:
        catalogue = Catalogue(ImageSettings(hub_endpoint=f"http://{address}"), tmp_path, time.time, 0.01)
        yield catalogue
        catalogue.close()


OWN = {
    "ears": {"category": "audio_processing", "input_type": "audio", "description": "Listens"},
    "coder": {"category": "specialized", "description": "Writes code"},
}


@pytest.fixture
async def registry(tmp_path: Path, redis_url: str) -> AsyncIterator[Registry]:
    declared(tmp_path / "registry.yaml", OWN)
    async with host(tmp_path, redis_url) as registry:
        yield registry


async def test_a_space_that_a_job_names_is_kept_in_the_registry(
    registry: Registry, catalogue: Catalogue, hub: HubDouble
) -> None:
    discoverer = AutoRegister(registry, catalogue)
    entry = await discoverer.find("ann/listen")
    assert entry is not None
    assert (entry.id, entry.hub_id, entry.category) == ("ann/listen", "ann/listen", "audio_processing")
    assert (entry.input_type, entry.output_type, entry.likes) == ("audio", "text", 7)
    assert registry.snapshot().spaces["ann/listen"] == entry
    asked = len(hub.asked)
    assert await discoverer.find("ann/listen") == entry
    assert len(hub.asked) == asked
    chosen = candidates_for(JobRequest(prompt="x", space="ann/listen"), registry, Recommender(registry))
    assert [one.id for one in chosen.alternates] == ["ears"]


async def test_a_space_that_was_only_discovered_gets_no_job_that_did_not_name_it(
    registry: Registry, catalogue: Catalogue
) -> None:
    await AutoRegister(registry, catalogue).find("ann/listen")
    requests = [
        JobRequest(prompt="x", category="audio_processing"),
        JobRequest(prompt="transcribe what this recording says, as ann/listen does", tier=Tier.HEAVY),
        JobRequest(prompt="x", space="ears"),
    ]
    for request in requests:
        found = candidates_for(request, registry, Recommender(registry))
        assert "ann/listen" not in [one.id for one in found.alternates]
    await registry.settle("ann/listen", lambda there: there.model_dump(mode="json", exclude_unset=True))
    found = candidates_for(requests[0], registry, Recommender(registry))
    assert {one.id for one in found.alternates} == {"ears", "ann/listen"}


async def test_a_plan_has_the_steps_of_the_job_and_writes_nothing(
    registry: Registry, catalogue: Catalogue
) -> None:
    entry = await AutoRegister(registry, catalogue).find("ann/listen", keep=False)
    assert entry is not None
    request = JobRequest(prompt="x", space="ann/listen")
    planned = candidates_for(request, registry, Recommender(registry), entry)
    assert [one.id for one in planned.alternates] == ["ears"]
    assert "ann/listen" not in (await registry.caught_up()).spaces
    kept = await AutoRegister(registry, catalogue).find("ann/listen")
    assert kept == entry.model_copy(update={"discovered": True})


async def test_an_entry_with_a_slip_is_told_and_not_replaced(
    registry: Registry, catalogue: Catalogue
) -> None:
    slip = "spaces:\n  ann/listen:\n    id: ann/listen\n    port: x\n    secrets: [MINE]\n"
    registry.path.write_text(slip)
    with pytest.raises(BadRequestError, match=r"entry of 'ann/listen' cannot be used: .*:4:5: .* port"):
        await AutoRegister(registry, catalogue).find("ann/listen")
    assert registry.path.read_text() == slip


async def test_a_job_is_discovered_for_with_nothing_but_its_spaces_id(
    registry: Registry, catalogue: Catalogue, hub: HubDouble
) -> None:
    await AutoRegister(registry, catalogue).find("ann/listen")
    assert set(hub.asked) == {"/api/spaces/ann/listen", f"/spaces/ann/listen/resolve/{SHA}/README.md"}


async def test_a_hundred_jobs_ask_once(registry: Registry, catalogue: Catalogue, hub: HubDouble) -> None:
    discoverer = AutoRegister(registry, catalogue)
    found = await asyncio.gather(*(discoverer.find("ann/listen") for _ in range(100)))
    assert all(found)
    assert hub.asked.count("/api/spaces/ann/listen") == 1


async def test_a_space_of_which_nothing_tells_has_none_to_stand_in_for_it(
    registry: Registry, catalogue: Catalogue
) -> None:
    entry = await AutoRegister(registry, catalogue).find("ann/thing")
    assert entry is not None
    assert (entry.category, entry.confidence, entry.input_type) == ("specialized", 0, "unknown")
    asked = JobRequest(prompt="x", space="ann/thing")
    candidates = candidates_for(asked, registry, Recommender(registry))
    assert (candidates.chosen, candidates.alternates) == (entry, ())


async def test_an_entry_that_stands_for_the_space_is_it(
    registry: Registry, catalogue: Catalogue, hub: HubDouble
) -> None:
    declared(registry.path, {"hear": {"hub_id": "ann/listen", "endpoint": "/hear"}})
    mine = registry.snapshot().get("hear")
    assert await AutoRegister(registry, catalogue).find("ann/listen") == mine
    assert hub.asked == []


@pytest.mark.parametrize(
    "fields",
    [
        {"repository": "/srv/hear"},
        {"command": ["python", "-c", "evil"]},
        {"env": {"HTTPS_PROXY": "http://eve"}},
        {"subdomain": "eve-space"},
        {"revision": "0123abc"},
    ],
)
async def test_an_entry_with_code_of_its_own_is_another(
    registry: Registry, catalogue: Catalogue, fields: dict[str, Any]
) -> None:
    declared(registry.path, {"hear": {"hub_id": "ann/listen", **fields}})
    entry = await AutoRegister(registry, catalogue).find("ann/listen")
    assert entry is not None
    assert entry.id == "ann/listen"


async def test_a_space_that_cannot_be_called_is_not_kept(registry: Registry, catalogue: Catalogue) -> None:
    assert await AutoRegister(registry, catalogue).find("ann/page") is None
    assert "ann/page" not in registry.snapshot().spaces


async def test_a_hub_that_does_not_know_it_is_not_asked_again_at_once(
    registry: Registry, catalogue: Catalogue, hub: HubDouble
) -> None:
    discoverer = AutoRegister(registry, catalogue)
    assert await discoverer.find("no/such") is None
    assert await discoverer.find("no/such") is None
    assert len(hub.asked) == 1


async def test_a_catalogue_that_cannot_be_reached_keeps_no_job_waiting(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    async with connect(f"unix://{tmp_path}/nobody.sock") as redis:
        registry = Registry(tmp_path / "registry.yaml", store=CatalogueStore(redis))
        entry = await AutoRegister(registry, catalogue).find("ann/listen")
    assert entry is not None
    assert entry.category == "audio_processing"


async def test_an_entry_without_a_category_gets_what_the_hub_says(catalogue: Catalogue) -> None:
    fields = await completing(catalogue)("hear", {"hub_id": "ann/listen", "description": "Mine"})
    assert (fields["category"], fields["input_type"]) == ("audio_processing", "audio")
    assert (fields["description"], fields["likes"], fields["subdomain"]) == ("Mine", 7, "ann-listen")


async def test_what_a_person_gives_stays(catalogue: Catalogue) -> None:
    given = {"hub_id": "ann/listen", "category": "ears", "output_type": "json"}
    fields = await completing(catalogue)("hear", given)
    assert given.items() <= fields.items()
    assert "confidence" not in fields


async def test_without_the_hub_the_name_has_to_do(catalogue: Catalogue, hub: HubDouble) -> None:
    hub.broken = 99
    fields = await completing(catalogue)("x", {"hub_id": "bob/whisper-large"})
    assert (fields["category"], fields["input_type"]) == ("audio_processing", "audio")
    assert "tags" not in fields


def call(op: Op, name: str | None = None, **options: Any) -> Call:
    return Call(id="1", op=op, name=name, options=options)


async def test_a_search_tells_what_is_here_first(registry: Registry, catalogue: Catalogue) -> None:
    await AutoRegister(registry, catalogue).find("ann/listen")
    handler = SearchHandler(registry, Recommender(registry), catalogue)
    found = (await asked(handler.answer, call(Op.SEARCH, query="listen"))).data
    assert {row["name"] for row in found["here"]} == {"ears", "ann/listen"}
    assert [(row["id"], row["name"]) for row in found["spaces"]] == [("ann/listen", "ann/listen")]
    found = (await asked(handler.answer, call(Op.SEARCH, category="specialized"))).data
    assert [row["name"] for row in found["here"]] == ["coder"]


async def test_a_search_tells_what_is_here_while_the_hub_is_silent(
    registry: Registry, catalogue: Catalogue, hub: HubDouble
) -> None:
    hub.limited = 60
    handler = SearchHandler(registry, Recommender(registry), catalogue)
    found = (await asked(handler.answer, call(Op.SEARCH, query="listens"))).data
    assert [row["name"] for row in found["here"]] == ["ears"]
    assert "not to be asked for another" in found["note"]
    with pytest.raises(HubError):
        await asked(handler.answer, call(Op.SEARCH, query="nothing here"))


@pytest.mark.parametrize("options", [{}, {"query": " "}, {"query": "x", "limit": 0}, {"query": ["x"]}])
async def test_a_search_for_nothing_is_refused(
    registry: Registry, catalogue: Catalogue, options: dict[str, Any]
) -> None:
    handler = SearchHandler(registry, Recommender(registry), catalogue)
    with pytest.raises(BadRequestError, match="search:"):
        await asked(handler.answer, call(Op.SEARCH, **options))


@pytest.mark.parametrize(
    ("offer", "state", "size"),
    [
        (Offer("x", Availability.THERE, size=5, digest="sha256:1"), "to be pulled", 5),
        (Offer("x", Availability.THERE, size=5, fits=False), "to be built", None),
        (Offer("x", Availability.MISSING), "to be built", None),
        (Offer("x", Availability.REFUSED), "to be built", None),
        (Offer("x", Availability.SILENT, "it is away"), "not known", None),
    ],
)
def test_what_an_image_registry_says_is_told_in_words(offer: Offer, state: str, size: int | None) -> None:
    told = offered(offer)
    assert (told["state"], told["size"], told["reference"]) == (state, size, "x")


async def test_a_validation_hears_what_the_catalogue_knows(catalogue: Catalogue, hub: HubDouble) -> None:
    reader = HubReader(catalogue, time.time, token=False)
    news = await reader.news("ann/listen")
    assert news.space is not None
    assert (news.space.secrets, news.space.sha) == (("MY_KEY",), SHA)
    assert (await reader.news("no/such")).missing
    hub.broken = 9
    silence = await reader.news("ann/other")
    assert (silence.missing, silence.space) == (False, None)
    assert "out of order" in silence.why
