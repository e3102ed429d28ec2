"""The worker's process: one on a state directory; what it owns, opened and closed in order."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import structlog
from redis.asyncio import Redis

from spacedock._wire.connection import connect
from spacedock.errors import SpacedockError
from spacedock.result import JobResult, Stage
from spacedock_worker.adapters.base import Adapter
from spacedock_worker.background import Stop, cancel_all, forever, running
from spacedock_worker.containers.docker.engine import Engine, EngineRefusedError
from spacedock_worker.containers.docker.network import Network
from spacedock_worker.containers.machine.gpu import devices
from spacedock_worker.containers.pool.pool import Pool
from spacedock_worker.control.dispatcher import Dispatcher
from spacedock_worker.errors import StepError
from spacedock_worker.jobs.model_step import ModelRunner
from spacedock_worker.metrics import Gauge, WorkCount, WorkerMetrics, served
from spacedock_worker.models.client import Models
from spacedock_worker.models.local import LocalModels
from spacedock_worker.pipelines.advancer import Advancer
from spacedock_worker.profiling.profiles import FILE as PROFILES
from spacedock_worker.profiling.profiles import ProfileStore
from spacedock_worker.queue.job_store import Blame, JobStore
from spacedock_worker.queue.patience import TROUBLE
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob
from spacedock_worker.queue.worker import QueueWorker
from spacedock_worker.registry.catalogue import CatalogueStore
from spacedock_worker.registry.following import follow, open_registry
from spacedock_worker.registry.host_file import default_text
from spacedock_worker.registry.registry import Registry
from spacedock_worker.settings import WorkerSettings
from spacedock_worker.state.capacity import HostCapacity
from spacedock_worker.wiring import Wiring
from spacedock_worker.witness import WITNESS, Condition, Conditions, Note, Witness
from spacedock_worker.witness import read as witness_read

log = structlog.get_logger()


async def serve(settings: WorkerSettings, stop: Stop, ready: Callable[[], None], told: Conditions) -> None:
    """Take jobs until `stop`; then drain, and leave no container behind. `ready` is called once open.

    How the worker stands is noted in `told`.

    Raises AnotherWorkerError where another worker uses the state directory, and does not end.
    """
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(alone(settings.state_dir / "worker.lock"))
        redis = connect(settings.redis_url)
        stack.push_async_callback(redis.aclose)
        if settings.images.scratch is not None:
            # What a killed worker was downloading.
            await asyncio.to_thread(shutil.rmtree, settings.images.scratch, ignore_errors=True)
        registry = Registry(settings.registry, default_text(), CatalogueStore(redis), settings.repositories)
        was_there = (settings.state_dir / _SEEN).exists()
        engine = await stack.enter_async_context(Engine(settings.containers.docker_host, was_there=was_there))
        profiles = await _opened(ProfileStore(settings.state_dir / PROFILES), stack)
        pool: Pool[Adapter] = await stack.enter_async_context(Pool(engine, settings.containers, profiles))
        gpu = await _has_gpu(engine)
        builds = Network(engine, f"{settings.containers.network_name}-builds")
        stack.push_async_callback(builds.remove)
        wiring = Wiring(
            settings,
            engine,
            registry,
            pool.view,
            builds=builds,
            env=os.environ,
            profiles=profiles,
            gpu=gpu,
        )
        stack.callback(wiring.catalogue.close)
        registry.recoded = wiring.begin_anew
        await open_registry(registry)
        models = await stack.enter_async_context(Models())
        local = LocalModels() if settings.look_for_models else None
        runner = ModelRunner(models, settings.models, local, settings.default_model)
        jobs = wiring.jobs(redis, pool, runner)
        answer = Dispatcher(wiring.calls(pool, runner), registry.fresh).answer
        # Whoever left its note is dead: one that lives holds the state directory, or has taken its note away.
        killed = witness_read(settings.state_dir / WITNESS)
        witness = stack.enter_context(Witness(settings.state_dir / WITNESS))

        metrics = WorkerMetrics(
            lambda name: name in registry.last.spaces, partial(_gauges, pool, engine, wiring.images.tallies)
        )
        await stack.enter_async_context(served(metrics, settings.metrics))

        async def handle(job: TakenJob, emit: Emit) -> JobResult:
            result = await witness.seen(job.id, jobs.handle(job, emit))
            metrics.ended(result, private=job.request.privacy)
            return result

        advancer = Advancer(redis)
        capacity = HostCapacity(settings.containers.instance_id, registry, pool.view, engine, gpu)
        worker = QueueWorker(settings.redis_url, handle, answer, settings.max_jobs, capacity, advancer.wake)
        witness.worker_is(worker.worker_id)
        await _let_lapse(redis, killed)
        background = running(
            catalogue=follow(registry, redis),
            pipelines=advancer.run(),
            housekeeper=wiring.housekeeper(redis).run(),
            loop_lag=metrics.watch_lag(),
            condition=forever(
                "condition", partial(_look, told, engine, registry, settings.state_dir / _SEEN), _LOOK_SECONDS
            ),
        )
        await stack.enter_async_context(background)
        await _work(worker, stop, ready, settings.drain_seconds)


async def _let_lapse(redis: Redis, killed: Note | None) -> None:
    """Have the jobs of the worker before wait again now, if it died and no daemon has seen that.

    Whatever ended both came from outside; only where the kernel lacked memory a job may have done it.
    """
    if killed is not None:
        blame = Blame.EXECUTED if killed.starved else Blame.NONE
        with suppress(*TROUBLE):
            await JobStore(redis, killed.worker_id).lapse(killed.worker_id, blame)


def _gauges(pool: Pool[Adapter], engine: Engine, images: Mapping[str, WorkCount]) -> Iterator[Gauge]:
    view = pool.view
    status, taken, limit = view.status().values(), view.taken(), view.limit
    states: Counter[str] = Counter()
    for one in status:
        states.update(one.containers)
    yield Gauge("containers", "Containers of Spaces.", dict(states), "state")
    yield Gauge(
        "quarantined", "Spaces that are not started for a while.", sum(bool(one.reason) for one in status)
    )
    for name, room in (("taken", taken), ("limit", limit)):
        yield Gauge(f"containers_{name}", f"Containers: {name}.", room.containers)
        yield Gauge(f"memory_{name}_bytes", f"Memory of containers: {name}.", room.memory)
        yield Gauge(f"gpus_{name}", f"GPUs of containers: {name}.", room.gpus)
    for name, tally in images.items():
        yield Gauge(name, f"{name.capitalize()} of images since the start.", dict(tally.states), "state")
    yield Gauge("pool_short", "Whether a call waits for room.", view.short)
    yield Gauge("host_fault", "Whether this host can start no container.", view.host_fault is not None)
    yield Gauge("engine_outages", "How often the Docker Engine could not be reached.", engine.outages)


_SEEN = "engine-seen"
"""The file in the state directory that says that this host's engine has answered once."""

_LOOK_SECONDS, _ANSWER_SECONDS = 5.0, 3.0
"""How often the engine is asked whether it is there, and how long it may take."""

_ANNOUNCED_SECONDS = 2.0
"""How long a host may take to tell the others of itself before it counts as ready all the same."""


async def _look(told: Conditions, engine: Engine, registry: Registry, seen: Path) -> None:
    """Note what is wrong with the engine and the registry, if anything is, and that the engine was there."""
    trouble = None
    try:
        async with engine.call(Stage.START, _ANSWER_SECONDS) as docker:
            await docker.version()
        await asyncio.to_thread(seen.touch)
    except (StepError, EngineRefusedError) as error:
        trouble = str(error)
    told.now = Condition(engine=trouble, registry=registry.fault)


async def _opened(profiles: ProfileStore, stack: AsyncExitStack) -> ProfileStore:
    """The store, read from its file, and written to it when the stack unwinds."""
    stack.push_async_callback(asyncio.to_thread, profiles.close)
    await asyncio.to_thread(profiles.open)
    return profiles


async def _has_gpu(engine: Engine) -> bool | None:
    """Whether the engine's machine has a GPU; None where that is another machine."""
    address = engine.docker_host or os.environ.get("DOCKER_HOST", "unix://")
    return bool(await asyncio.to_thread(devices)) if address.startswith("unix://") else None


async def _work(worker: QueueWorker, stop: Stop, ready: Callable[[], None], drain_seconds: float) -> None:
    working = asyncio.ensure_future(worker.main())
    stopping = asyncio.ensure_future(stop.wait())
    announced = asyncio.ensure_future(worker.announced.wait())
    grace = 0.0
    try:
        # Who hears that this host is ready may name it at once. A queue that is away keeps nobody waiting.
        first = {announced, working, stopping}
        await asyncio.wait(first, timeout=_ANNOUNCED_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        ready()
        log.info("worker.ready", worker=worker.worker_id)
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
        grace = drain_seconds
    finally:
        try:
            # Whatever ends the worker: its jobs end or go back before anything is closed that they use.
            await worker.drain(grace, stop.hurry)
        finally:
            await cancel_all(working, stopping, announced)
            await worker.close()
            log.info("worker.stopped")


log = structlog.get_logger()

WAIT_SECONDS = 50.0
_PAUSE_SECONDS = 0.1


class AnotherWorkerError(SpacedockError):
    """Another worker uses the state directory, and does not end."""


@asynccontextmanager
async def alone(path: Path) -> AsyncIterator[None]:
    """Hold the lock file; wait for a worker whose daemon was killed, and which is just ending.

    Both would take each other's containers for leftovers. Raises AnotherWorkerError after 50 s.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        await _locked(file.fileno(), path)
        yield


async def _locked(descriptor: int, path: Path) -> None:
    waited = 0.0
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if waited == 0.0:
                log.info("worker.waits_for_another", lock=str(path))
        if waited > WAIT_SECONDS:
            raise AnotherWorkerError(f"another worker uses {path.parent} and does not end; stop it first")
        await asyncio.sleep(_PAUSE_SECONDS)
        waited += _PAUSE_SECONDS
