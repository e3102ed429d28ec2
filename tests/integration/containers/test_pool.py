"""The pool on a real engine, with Python's own web server as the app."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from aiodocker import Docker
from tests.integration.containers.parts import answers, never, ours, silent

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.docker.create_body import OWNER_LABEL
from spacedock_worker.containers.docker.engine import Engine, EngineRefusedError
from spacedock_worker.containers.docker.network import Network
from spacedock_worker.containers.docker.task import Task
from spacedock_worker.containers.pool.history import TimingStore
from spacedock_worker.containers.pool.pool import Pool
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.errors import ImageGoneError, StepError


async def test_a_warm_container_serves_the_second_lease_at_once(engine, settings, spec) -> None:
    async with Pool(engine, settings) as pool:
        async with pool.lease(spec("one"), answers, silent) as lease:
            assert lease.start_seconds > 0
            assert await answers(lease.app.url)
            assert await lease.explain() is None
            first = lease.app.url
        assert repr(pool) == "<Pool 1/3 containers: 1 idle; 0 waiting>"
        async with pool.lease(spec("one"), answers, silent) as lease:
            assert (lease.start_seconds, lease.app.url) == (0.0, first)
    assert await ours(engine, settings.instance_id) == []


async def test_the_container_that_was_used_longest_ago_makes_room(
    engine, settings, spec, monkeypatch
) -> None:
    started = TimingStore.started
    # Of a busy machine one start may take three times as long as another.
    monkeypatch.setattr(TimingStore, "started", lambda store, key, _: started(store, key, 1.0))
    two = settings.model_copy(update={"max_containers": 2})
    async with Pool(engine, two) as pool:
        for space in ("one", "two", "one", "three"):
            async with pool.lease(spec(space), answers, silent):
                assert len(await ours(engine, settings.instance_id)) <= 2
        async with pool.lease(spec("one"), answers, silent) as lease:
            assert lease.start_seconds == 0.0
        async with pool.lease(spec("two"), answers, silent) as lease:
            assert lease.start_seconds > 0


async def test_leases_of_one_space_wait_for_each_other_in_order(engine, settings, spec) -> None:
    served: list[int] = []
    busy = 0

    async def use(pool: Pool, number: int) -> None:
        nonlocal busy
        async with pool.lease(spec("one"), answers, silent) as lease:
            busy += 1
            assert busy == 1
            await answers(lease.app.url)
            served.append(number)
            busy -= 1

    async with Pool(engine, settings) as pool, asyncio.TaskGroup() as users:
        for number in range(5):
            users.create_task(use(pool, number))
    assert served == [0, 1, 2, 3, 4]


async def test_a_discarded_container_is_removed(engine, settings, spec) -> None:
    async with Pool(engine, settings) as pool:
        async with pool.lease(spec("one"), answers, silent) as lease:
            lease.discard()
        async with pool.lease(spec("one"), answers, silent) as lease:
            assert lease.start_seconds > 0


async def test_an_idle_container_is_stopped_after_its_time(engine, settings, spec) -> None:
    async with Pool(engine, settings.model_copy(update={"idle_seconds": 0.1})) as pool:
        async with pool.lease(spec("one"), answers, silent) as lease:
            pass
        assert "1 idle" in repr(pool)
        await lease.wait_dead()
        await pool.settled()
        assert repr(pool).startswith("<Pool 0/3")
        assert await ours(engine, settings.instance_id) == []


async def test_an_idle_container_that_died_is_started_anew(engine, settings, spec) -> None:
    async with Pool(engine, settings) as pool:
        async with pool.lease(spec("one"), answers, silent):
            pass
        async with engine.call(Stage.START) as docker:
            await docker.containers.container((await ours(engine, settings.instance_id))[0]).kill()
        async with pool.lease(spec("one"), answers, silent) as lease:
            assert lease.start_seconds > 0
            assert await answers(lease.app.url)


async def test_an_app_that_ends_is_a_crash_with_its_last_words(engine, settings, spec) -> None:
    ends = ("python3", "-c", "import sys; print('one'); sys.exit('\\x1b[31mno model here')")
    async with Pool(engine, settings) as pool:
        with pytest.raises(StepError, match="exit code 1") as caught:
            async with pool.lease(spec("ends", ends), never, silent):
                pass
    assert (caught.value.stage, caught.value.kind) == (Stage.READY, ErrorKind.CRASHED)
    assert "no model here" in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert await ours(engine, settings.instance_id) == []


async def test_an_app_that_is_a_program_that_ends_well_says_how_to_run_it(engine, settings, spec) -> None:
    async with Pool(engine, settings) as pool:
        with pytest.raises(
            StepError, match=r"exit code 0\. If it is a program .* `adapter: command`"
        ) as caught:
            async with pool.lease(spec("once", ("python3", "-c", "print('done')")), never, silent):
                pass
    assert (caught.value.stage, caught.value.kind) == (Stage.READY, ErrorKind.CRASHED)
    assert str(caught.value).endswith("Its last words:\ndone")


@pytest.mark.parametrize(
    ("address", "where"),
    [
        ("('0.0.0.0', 8080)", r"It listens on 0\.0\.0\.0:8080 instead of port 7860"),
        ("('127.0.0.1', 7860)", r"It listens on 127\.0\.0\.1:7860 alone: have it listen on 0\.0\.0\.0"),
    ],
)
async def test_an_app_that_listens_elsewhere_says_where(
    engine, settings, spec, address: str, where: str
) -> None:
    code = f"import socket, time; s = socket.create_server({address}); print('I am up'); time.sleep(99)"
    async with Pool(engine, settings) as pool:
        # A busy machine may need more time until the app listens.
        for seconds in (2.0, 10.0, 60.0):
            elsewhere = spec("elsewhere", ("python3", "-u", "-c", code), start_timeout=seconds)
            with pytest.raises(StepError) as caught:
                async with pool.lease(elsewhere, never, silent):
                    pass
            assert caught.value.kind is ErrorKind.START_TIMEOUT
            if "I am up" in str(caught.value):
                break
    assert re.search(where, str(caught.value))
    assert str(caught.value).endswith("Its last words:\nI am up")


async def test_an_app_that_has_its_port_for_itself_fails_early_and_says_what_to_do(
    engine, settings, spec
) -> None:
    # Without a program that could be run in it, as in an image that has no shell.
    inside = ("/usr/bin/python3", "-m", "http.server", "7860", "--bind", "127.0.0.1", "--directory", "/tmp")
    told: list[str] = []
    async with Pool(engine, settings) as pool:
        with pytest.raises(
            StepError, match=r"reached from outside.*127\.0\.0\.1:7860 alone.*0\.0\.0\.0"
        ) as caught:
            async with pool.lease(spec("inside", inside, env={"PATH": "/none"}), answers, told.append):
                pass
    # It did not wait until its time was up, which is START_TIMEOUT.
    assert (caught.value.stage, caught.value.kind) == (Stage.READY, ErrorKind.START_FAILED)
    assert any("waiting until it answers. It listens on 127.0.0.1:7860 alone" in line for line in told)
    assert await ours(engine, settings.instance_id) == []


async def test_an_app_that_starts_a_helper_of_its_own_first_is_waited_for(engine, settings, spec) -> None:
    code = (
        "import socket, time, http.server as h; helper = socket.create_server(('127.0.0.1', 8265))\n"
        "time.sleep(16); h.HTTPServer(('', 7860), h.SimpleHTTPRequestHandler).serve_forever()"
    )
    told: list[str] = []
    async with Pool(engine, settings) as pool:
        slow = spec("slow", ("python3", "-c", code))
        async with pool.lease(slow, answers, told.append) as lease:
            assert await lease.app.text()
    assert any("127.0.0.1:8265 instead of port 7860: have it listen on 0.0.0.0:7860" in line for line in told)


async def test_an_app_that_never_answers_is_a_start_timeout(engine, settings, spec) -> None:
    async with Pool(engine, settings) as pool:
        with pytest.raises(StepError) as caught:
            async with pool.lease(spec("slow", start_timeout=1.0), never, silent):
                pass
    assert (caught.value.stage, caught.value.kind) == (Stage.READY, ErrorKind.START_TIMEOUT)


async def test_a_command_that_is_not_there_is_a_failed_start(engine, settings, spec) -> None:
    missing = ContainerSpec("missing", f"spacedock/missing:{settings.instance_id}", "sha256:none")
    async with Pool(engine, settings) as pool:
        with pytest.raises(StepError) as caught:
            async with pool.lease(missing, never, silent):
                pass
    assert (caught.value.stage, caught.value.kind) == (Stage.START, ErrorKind.START_FAILED)


async def test_memory_beyond_the_limit_is_told_from_a_crash(engine, settings, spec) -> None:
    eats = "import http.server, threading, time\n"
    eats += "threading.Timer(1, lambda: [bytearray(2**20) for _ in range(500)] and time.sleep(60)).start()\n"
    eats += "http.server.test(http.server.SimpleHTTPRequestHandler, port=7860)"
    hungry = spec("hungry", ("python3", "-c", eats), memory=64 * 2**20)
    async with Pool(engine, settings) as pool, pool.lease(hungry, answers, silent) as lease:
        async with asyncio.timeout(60):
            death = await lease.wait_dead()
        assert lease.peak_memory == 64 * 2**20
    assert (death.stage, death.kind) == (Stage.CALL, ErrorKind.OUT_OF_MEMORY)
    assert "64 MB" in str(death)


async def test_a_container_has_its_walls(engine, settings, spec) -> None:
    async with (
        Pool(engine, settings) as pool,
        pool.lease(spec("one"), answers, silent),
        engine.call(Stage.START) as docker,
    ):
        found = await docker.containers.container((await ours(engine, settings.instance_id))[0]).show()
    host = found["HostConfig"]
    assert found["Config"]["User"] == "1000:1000"
    assert (host["CapDrop"], host["SecurityOpt"]) == (["ALL"], ["no-new-privileges"])
    assert host["Memory"] == host["MemorySwap"] == settings.memory
    assert not host["PortBindings"]
    assert host["NetworkMode"] == f"spacedock-{settings.instance_id}"


async def test_containers_cannot_reach_each_other(engine, settings, spec) -> None:
    async with AsyncExitStack() as leases, Pool(engine, settings) as pool:
        one = await leases.enter_async_context(pool.lease(spec("one"), answers, silent))
        await leases.enter_async_context(pool.lease(spec("two"), answers, silent))
        code = f"import urllib.request; urllib.request.urlopen({one.app.url!r}, timeout=2)"
        spy = spec("spy", ("python3", "-c", code))
        with pytest.raises(StepError, match="timed out"):
            async with pool.lease(spy, never, silent):
                pass


async def test_published_ports_are_reached_at_the_loopback_address(engine, settings, spec) -> None:
    published = settings.model_copy(update={"publish_ports": True})
    async with Pool(engine, published) as pool, pool.lease(spec("one"), answers, silent) as lease:
        assert lease.app.url.startswith("http://127.0.0.1:")
        assert await answers(lease.app.url)


class Counting(Engine):
    """A real engine that tells when the call of a given number begins."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.left, self.reached = number, asyncio.Event()

    @asynccontextmanager
    async def call(self, stage: Stage, seconds: float = 30.0) -> AsyncIterator[Docker]:
        async with super().call(stage, seconds) as docker:
            self.left -= 1
            if self.left == 0:
                self.reached.set()
            yield docker


# The calls: list, reap, then info, look at the network, (make it,) create, start, inspect, inspect again.
@pytest.mark.parametrize("number", range(2, 10))
async def test_a_start_cancelled_in_any_call_leaves_nothing_behind(settings, spec, number: int) -> None:
    async with Counting(number) as engine, Pool(engine, settings) as pool:

        async def use() -> None:
            async with pool.lease(spec("one"), never, silent):
                pass

        user = asyncio.create_task(use())
        await engine.reached.wait()
        user.cancel()
        with pytest.raises(asyncio.CancelledError):
            await user
        await pool.settled()
        assert repr(pool).startswith("<Pool 0/3")
        assert await ours(engine, settings.instance_id) == []


async def test_a_cancelled_wait_for_the_app_leaves_nothing_behind(engine, settings, spec) -> None:
    waiting = asyncio.Event()
    async with Pool(engine, settings) as pool:

        async def use() -> None:
            def on_progress(text: str) -> None:
                if "until it answers" in text:
                    waiting.set()

            async with pool.lease(spec("one"), never, on_progress):
                pass

        user = asyncio.create_task(use())
        await waiting.wait()
        user.cancel()
        with pytest.raises(asyncio.CancelledError):
            await user
    assert await ours(engine, settings.instance_id) == []


async def test_a_cancelled_waiter_does_not_take_the_room(engine, settings, spec) -> None:
    one = settings.model_copy(update={"max_containers": 1})
    async with Pool(engine, one) as pool:

        async def use(space: str) -> str:
            async with pool.lease(spec(space), answers, silent) as lease:
                return lease.app.url

        async with pool.lease(spec("one"), answers, silent):
            gives_up, stays = asyncio.create_task(use("two")), asyncio.create_task(use("three"))
            await asyncio.sleep(0)
            gives_up.cancel()
            await asyncio.wait({gives_up})
            assert repr(pool) == "<Pool 1/1 containers: 1 busy; 1 waiting>"
        assert (await stays).startswith("http://")


@pytest.mark.parametrize(("discarded", "left"), [(True, "1 stopping"), (False, "1 idle")])
async def test_a_cancelled_call_leaves_its_container_unless_it_is_discarded(
    engine, settings, spec, discarded: bool, left: str
) -> None:
    called = asyncio.Event()
    async with Pool(engine, settings) as pool:

        async def use() -> None:
            async with pool.lease(spec("one"), answers, silent) as lease:
                if discarded:
                    lease.discard()
                called.set()
                await asyncio.Event().wait()

        user = asyncio.create_task(use())
        await called.wait()
        user.cancel()
        await asyncio.wait({user})
        assert left in repr(pool)


async def test_closing_removes_what_is_in_use_and_turns_waiters_away(engine, settings, spec) -> None:
    pool = Pool(engine, settings.model_copy(update={"max_containers": 1}))
    async with pool:
        async with pool.lease(spec("one"), answers, silent):

            async def use() -> None:
                async with pool.lease(spec("two"), answers, silent):
                    pass

            waiter = asyncio.create_task(use())
            await asyncio.sleep(0)
            await pool.close()
            assert await ours(engine, settings.instance_id) == []
            with pytest.raises(StepError, match="stopping"):
                await waiter
        await pool.close()


async def test_leftovers_of_ours_are_removed_at_start_and_no_others(engine, settings, base: str) -> None:
    other = f"{settings.instance_id}-other"
    body = {"Image": base, "Cmd": ["true"]}
    async with engine.call(Stage.START) as docker:
        for owner in (settings.instance_id, other):
            await docker.containers.create(body | {"Labels": {OWNER_LABEL: owner}})
    try:
        async with Pool(engine, settings):
            assert await ours(engine, settings.instance_id) == []
            assert len(await ours(engine, other)) == 1
    finally:
        async with Pool(engine, settings.model_copy(update={"instance_id": other})):
            pass
    assert await ours(engine, other) == []


async def test_without_an_engine_a_lease_fails_and_the_pool_does_not(tmp_path: Path) -> None:
    settings = ContainerSettings(instance_id="test-absent")
    async with Engine(f"unix://{tmp_path}/no.sock") as absent, Pool(absent, settings) as pool:
        with pytest.raises(StepError, match="docker info") as caught:
            async with pool.lease(ContainerSpec("one", "none", "none"), never, silent):
                pass
    assert caught.value.kind is ErrorKind.DOCKER_UNAVAILABLE


async def test_an_engine_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    hung_up = asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        hung_up.set()

    server = await asyncio.start_unix_server(mute, tmp_path / "mute.sock")
    async with server, Engine(f"unix://{tmp_path}/mute.sock") as engine:
        with pytest.raises(StepError, match=r"no answer within 0\.2 s"):
            async with engine.call(Stage.START, seconds=0.2) as docker:
                await docker.version()
        await hung_up.wait()


async def test_an_image_that_is_gone_is_told_from_other_failures(engine, settings, spec) -> None:
    gone = replace(spec("one"), reference="spacedock/none:1")
    async with Pool(engine, settings) as pool:
        with pytest.raises(ImageGoneError, match="spacedock/none:1"):
            async with pool.lease(gone, answers, silent):
                pass
        with pytest.raises(ImageGoneError):
            await pool.complete(gone, Task(), silent)


async def test_what_the_engine_refuses_is_told_from_its_absence(engine) -> None:
    with pytest.raises(EngineRefusedError) as caught:
        async with engine.call(Stage.START) as docker:
            await docker.containers.container("spacedock-no-such").show()
    assert caught.value.status == 404


async def test_two_networks_of_one_name_are_made_one_again(engine: Engine) -> None:
    name = f"spacedock-test-{secrets.token_hex(4)}"
    network = Network(engine, name)
    await network.ensure()
    second = {"Name": name, "CheckDuplicate": False, "Labels": {"io.spacedock.network": "1"}}
    try:
        async with engine.call(Stage.START) as docker:
            await docker.networks.create(second)
        await network.ensure()
        async with engine.call(Stage.START) as docker:
            named = await docker.networks.list(filters={"name": name})
        assert len(named) == 1
    except EngineRefusedError as error:
        if error.status != 409:
            raise
        pytest.skip("this engine never makes two networks of one name")
    finally:
        assert await network.remove()


async def test_spaces_that_start_at_once_share_one_network(engine: Engine) -> None:
    network = Network(engine, f"spacedock-test-{secrets.token_hex(4)}")
    await asyncio.gather(*(network.ensure() for _ in range(8)))
    async with engine.call(Stage.START) as docker:
        named = await docker.networks.list(filters={"name": network.name})
    await network.remove()
    assert len(named) == 1
