"""What the pool measures on the real engine, and what it does with what was measured before."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.integration.containers.parts import answers, never, silent, states

from spacedock.result import ErrorKind
from spacedock_worker.containers.pool.pool import Pool
from spacedock_worker.errors import StepError
from spacedock_worker.profiling.profiles import FILE, ProfileStore, Run

MB = 2**20
GREEDY = "import http.server as h\nkept = b'x' * 100 * 2**20\nh.test(h.SimpleHTTPRequestHandler, port=7860)"


class Heard(ProfileStore):
    """A store that says when a container's memory was seen."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.seen: asyncio.Queue[tuple[str, int]] = asyncio.Queue()

    def peaked(self, digest: str, memory: int) -> None:
        super().peaked(digest, memory)
        self.seen.put_nowait((digest, memory))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ProfileStore]:
    with closing(ProfileStore(tmp_path / FILE)) as store:
        store.open()
        yield store


def ran(digest: str = "sha256:test", start: float | None = 0.3, peak: int | None = None) -> Run:
    return Run(digest, "one", 1.0, True, None, start, 0.1, peak)


async def test_the_memory_that_an_app_used_is_seen_beside_its_calls(engine, settings, spec, tmp_path) -> None:
    store = Heard(tmp_path / FILE)
    store.note(ran())
    greedy = spec("one", ("python3", "-c", GREEDY), memory=256 * MB)
    async with (
        Pool(engine, settings, store) as pool,
        asyncio.timeout(60),
        pool.lease(greedy, answers, silent) as lease,
    ):
        digest, memory = await store.seen.get()
        assert lease.peak_memory == memory
    assert digest == "sha256:test"
    assert 100 * MB < memory < 200 * MB
    found = store.of("sha256:test")
    assert found is not None
    assert found.peak_memory == memory


async def test_a_start_that_hangs_is_given_up_by_what_starts_took_before(
    engine, settings, spec, store
) -> None:
    quick = settings.model_copy(update={"start_least": 1.0})
    for _ in range(3):
        store.note(ran(start=0.1))
    async with Pool(engine, quick, store) as pool, asyncio.timeout(60):
        with pytest.raises(StepError, match=r"within 1 s .* 3 starts before took 0\.1 s at most") as caught:
            async with pool.lease(spec("one"), never, silent):
                pass
        assert caught.value.kind is ErrorKind.START_TIMEOUT
        # It may have had good reason: the next has as long as any.
        async with pool.lease(spec("one"), answers, silent) as lease:
            assert lease.start_seconds > 0


async def test_idle_containers_go_before_a_start_that_this_host_has_no_memory_for(
    engine, settings, spec, store
) -> None:
    async with Pool(engine, settings, store) as pool, asyncio.timeout(60):
        async with pool.lease(spec("idle"), answers, silent):
            pass
        async with pool.lease(spec("busy"), answers, silent):
            store.note(ran(peak=2**60))
            # Nothing else can be given up: it starts all the same, and no call is cut off.
            async with pool.lease(spec("one"), answers, silent):
                left = await states(engine, settings.instance_id)
                assert sorted(name.split("-")[1] for name in left) == ["busy", "one"]


async def test_a_call_that_only_wakes_its_container_costs_nobody_theirs(
    engine, settings, spec, store
) -> None:
    async with Pool(engine, settings, store) as pool, asyncio.timeout(60):
        for name in ("idle", "one"):
            async with pool.lease(spec(name), answers, silent):
                pass
        store.note(ran(peak=2**60))
        async with pool.lease(spec("one"), answers, silent) as lease:
            assert lease.start_seconds == 0.0
        assert len(await states(engine, settings.instance_id)) == 2
