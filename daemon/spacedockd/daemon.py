"""The daemon's life: children up, ready, watched, and down again within its limit."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import structlog
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from spacedock._wire.connection import connect, greet, redacted, told_as_ours
from spacedock.configuration import ConfigError, socket_url
from spacedock.errors import NotConnectedError, RefusedError, SpacedockError
from spacedock.request import Tier
from spacedock_worker.background import Stop, cancel_all
from spacedock_worker.models.endpoint import ModelEndpoint
from spacedock_worker.queue.job_store import check_rights
from spacedockd import paths
from spacedockd.http.listening import HttpServer
from spacedockd.http.settings import HttpSettings
from spacedockd.model.gateway import ModelGateway
from spacedockd.model.gguf import cache_folder
from spacedockd.notify import Notifier
from spacedockd.publishing import publish
from spacedockd.pulse import Pulse, Watched, report
from spacedockd.reloading import Reloader
from spacedockd.settings import DaemonSettings
from spacedockd.supervisor import Child, Sleep, keep_alive
from spacedockd.valkey import EmbeddedValkey, scrub
from spacedockd.webhooks.deliverer import Deliverer
from spacedockd.worker_process import WorkerProcess

log = structlog.get_logger()

MODEL_SOCKET = "model.sock"
_MAX_TOKENS = 1024
_AGAIN = "Ctrl-C or SIGTERM once more does not wait for running jobs"


class BackgroundError(SpacedockError):
    """Something that the daemon does all the time has ended by a fault."""


Reread = Callable[[], DaemonSettings]


async def serve(
    settings: DaemonSettings, env: Mapping[str, str], stop: Stop, reread: Reread, reload: asyncio.Event
) -> None:
    """Run until `stop`. Raises SpacedockError where a child cannot be started the first time.

    Whenever `reload` is set, the configuration is read again by `reread`.
    Ready is said once the Redis answers, and takes this user and what a worker does.
    """
    notify = Notifier(env, os.getpid())
    url = redacted(settings.redis_url or socket_url(settings.socket))
    with paths.held(settings.state_dir):
        paths.make_private(settings.runtime_dir)
        async with AsyncExitStack() as children:
            # First what loads longest: the worker's modules, beside ours and the start of the queue.
            default = await children.enter_async_context(system_default(settings, env))
            worker = WorkerProcess(settings.worker(default), hurry=stop.hurry)
            await children.enter_async_context(worker.loading())
            if settings.redis_url is None:
                await children.enter_async_context(own_queue(settings, stop))
            elif not await unless(stop, usable(settings.redis_url, notify, asyncio.sleep)):
                return
            where = settings.redis_url or socket_url(settings.socket)
            if not await unless(stop, publish(where, settings, notify, asyncio.sleep)):
                return
            await children.enter_async_context(alive("worker", worker, stop))
            door = None
            if settings.http:
                door = await children.enter_async_context(
                    http_door(settings, settings.http, worker.pulse, stop)
                )
            await children.enter_async_context(
                running("webhooks", Deliverer(where, settings.webhooks).run(), stop)
            )
            watchdog = notify.watchdog(lambda: worker.pulse.trouble)
            await children.enter_async_context(running("watchdog", watchdog, stop))
            telling = report(worker.pulse, where, notify)
            await children.enter_async_context(running("report", telling, stop))
            reloader = Reloader(settings, reread, worker, door, default, where)
            await children.enter_async_context(running("reload", reloader.run(reload, notify), stop))
            log.info("daemon.ready", redis=url, state_dir=str(settings.state_dir))
            notify.ready(f"serving {url}")
            await stop.wait()
            log.info("daemon.stopping", drain_seconds=settings.drain_seconds, again=_AGAIN)
            notify.stopping(f"waiting for running jobs, at most {settings.drain_seconds:g} s")
    log.info("daemon.stopped")


async def serve_queue(settings: DaemonSettings, env: Mapping[str, str], stop: Stop) -> None:
    """Run the queue's server alone until `stop`, for daemons that live shorter. Raises SpacedockError."""
    if settings.redis_url is not None:
        raise ConfigError(
            f"redis_url names another server ({redacted(settings.redis_url)}): none is needed here"
        )
    notify = Notifier(env, os.getpid())
    with paths.held(settings.state_dir):
        paths.make_private(settings.runtime_dir)
        async with own_queue(settings, stop):
            notify.ready(f"the queue is at {socket_url(settings.socket)}")
            await stop.wait()
            notify.stopping("writing the queue to its file")


@asynccontextmanager
async def own_queue(settings: DaemonSettings, stop: Stop) -> AsyncIterator[None]:
    """The embedded Valkey, kept up, and its file rewritten where private jobs were deleted."""
    valkey = EmbeddedValkey(settings.socket, settings.state_dir, settings.valkey_memory)
    with paths.shown_alive(settings.runtime_dir):
        async with (
            alive("valkey", valkey, stop),
            running("scrub", scrub(socket_url(settings.socket)), stop),
        ):
            yield


@asynccontextmanager
async def alive(name: str, child: Child, stop: asyncio.Event) -> AsyncIterator[None]:
    """A child that is started, kept alive, and stopped."""
    try:
        await child.start()
        async with running(name, keep_alive(name, child), stop):
            yield
    finally:
        await child.stop()


@asynccontextmanager
async def system_default(
    settings: DaemonSettings, env: Mapping[str, str]
) -> AsyncIterator[ModelEndpoint | None]:
    """The endpoint of our own SmolLM server, started at its first use; None where another is configured."""
    if settings.default_model is not None:
        yield None
        return
    folders = (settings.state_dir / "models", cache_folder(env))
    gateway = ModelGateway(settings.runtime_dir / MODEL_SOCKET, settings.smollm, folders)
    try:
        await gateway.start()
    except OSError as error:
        raise paths.unusable_socket(gateway.socket, error) from error
    try:
        yield ModelEndpoint(
            name="smollm",
            base_url="http://spacedock/v1",
            socket=gateway.socket,
            state_socket=gateway.state_socket,
            tier=Tier.DEFAULT,
            # A small model that falls into repeating itself would go on until its context is full.
            max_tokens=_MAX_TOKENS,
        )
    finally:
        await gateway.stop()


@asynccontextmanager
async def http_door(
    settings: DaemonSettings, http: HttpSettings, pulse: Pulse, stop: asyncio.Event
) -> AsyncIterator[HttpServer]:
    """HTTP for other software, towards the queue; it tells how the worker stands."""
    url = settings.redis_url or socket_url(settings.socket)
    watched = Watched(pulse, settings.worker_metrics)
    door = HttpServer(http, url, settings.state_dir, settings.runtime_dir, settings.models_as, watched)
    async with alive("http", door, stop):
        yield door


@asynccontextmanager
async def running(name: str, work: Coroutine[None, None, None], stop: asyncio.Event) -> AsyncIterator[None]:
    """Background work that lives as long as the block.

    The daemon cannot do without it: where it fails, `stop` is set, and BackgroundError raised at the end.
    """

    def over(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            log.error("daemon.background_failed", task=name, exc_info=error)
            stop.set()

    task = asyncio.create_task(work)
    task.add_done_callback(over)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
    if not task.cancelled() and (error := task.exception()):
        raise BackgroundError(
            f"{name} failed ({type(error).__name__}); see the log, and start the daemon again"
        )


async def unless(stop: asyncio.Event, work: Coroutine[None, None, None]) -> bool:
    """Do `work`, but no longer than until `stop`; whether it was done."""
    doing, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return doing.done() and doing.result() is None
    finally:
        await cancel_all(doing, stopping)


async def run(settings: DaemonSettings, env: Mapping[str, str], reread: Reread) -> None:
    """Serve until SIGTERM or Ctrl-C; a second one does not wait for the jobs that run. SIGHUP reloads."""
    stop, reload = signals()
    await serve(settings, env, stop, reread, reload)


async def run_queue(settings: DaemonSettings, env: Mapping[str, str]) -> None:
    """Serve the queue alone, until SIGTERM or Ctrl-C."""
    await serve_queue(settings, env, signals()[0])


def signals() -> tuple[Stop, asyncio.Event]:
    """What SIGTERM and Ctrl-C ask to stop, and what SIGHUP sets.

    SIGHUP stops where it tells that the terminal is gone in which the daemon was started.
    """
    stop, reload, terminal = Stop(), asyncio.Event(), sys.stderr.isatty()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.ask)

    def hung_up() -> None:
        if terminal and not sys.stderr.isatty():
            stop.ask()
        else:
            reload.set()

    loop.add_signal_handler(signal.SIGHUP, hung_up)
    return stop, reload


PAUSE_SECONDS = 2.0


async def usable(url: str, notify: Notifier, sleep: Sleep) -> None:
    """Return once the Redis can be worked with; wait for one that is away, loading or a replica.

    Raises RefusedError where waiting does not help, BadRequestError where this is no address.
    """
    async with connect(url) as redis:
        while True:
            try:
                await _look(redis, url)
                return
            except RefusedError as error:
                if error.lasting:
                    raise
                notify.waiting("redis.waiting", "Redis", str(error))
            except NotConnectedError as error:
                notify.waiting("redis.waiting", "Redis", error.why)
            await sleep(PAUSE_SECONDS)


async def _look(redis: Redis, url: str) -> None:
    await greet(redis, url)
    with told_as_ours(url):
        await check_rights(redis)
        with suppress(NoPermissionError):
            memory = await redis.info("memory")
            policy = memory.get("maxmemory_policy", "noeviction")
            if memory.get("maxmemory") and policy != "noeviction":
                advice = "set maxmemory-policy to noeviction: this Redis drops jobs when it is full"
                log.warning("redis.evicts", policy=policy, advice=advice)
