"""`bundle` and `unbundle`: on the host itself, since they read and write files that their user names."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

from spacedock._wire.connection import connect, told_as_ours
from spacedock._wire.rpc import OnProgress
from spacedock.client import Client
from spacedock.errors import NotConnectedError, NoWorkerError, SpacedockError
from spacedock_worker.bundles.archive import BundleManifest
from spacedock_worker.bundles.bundler import Bundler, Unbundler
from spacedock_worker.bundles.volumes import Transfer
from spacedock_worker.containers.docker.engine import Engine, EngineRefusedError
from spacedock_worker.containers.docker.network import Network
from spacedock_worker.logs import configure
from spacedock_worker.registry.catalogue import CatalogueStore
from spacedock_worker.registry.registry import Registry
from spacedock_worker.settings import WorkerSettings
from spacedock_worker.wiring import Wiring
from spacedockd import settings
from spacedockd.settings import DaemonSettings

_SAY_SECONDS = 2.0


def bundle_command(
    out: Path, names: Sequence[str], config: Path | None = None, options: Mapping[str, Any] | None = None
) -> None:
    """Write these Spaces of this host to `out`. Raises SpacedockError."""
    manifest = _run(config, options, lambda loaded: bundle(loaded, out, names, _say))
    _say(f"bundled {_names(manifest)} in {out} ({out.stat().st_size / 1e6:,.1f} MB)")


def unbundle_command(
    path: Path, config: Path | None = None, options: Mapping[str, Any] | None = None
) -> None:
    """Take the Spaces of a bundle into this host. Raises SpacedockError."""
    manifest = _run(config, options, lambda loaded: unbundle(loaded, path, _say))
    _say(f"took in {_names(manifest)}")


async def bundle(loaded: DaemonSettings, out: Path, names: Sequence[str], tell: OnProgress) -> BundleManifest:
    """Bundle Spaces; see `Bundler.bundle`."""
    told, owner = loaded.worker(None), loaded.containers.instance_id
    async with _registry(told, needed=False) as registry, Engine(loaded.containers.docker_host) as engine:
        builds = Network(engine, f"{loaded.containers.network_name}-bundle")
        wiring = Wiring(told, engine, registry, builds=builds, env=os.environ)
        transfer = Transfer(engine, owner)
        bundler = Bundler(registry, wiring.policy, wiring.inventory, transfer, _meter(tell))
        try:
            return await bundler.bundle(out, names, tell)
        finally:
            await builds.remove()


async def unbundle(loaded: DaemonSettings, path: Path, tell: OnProgress) -> BundleManifest:
    """Take a bundle in; see `Unbundler.unbundle`."""
    told, owner = loaded.worker(None), loaded.containers.instance_id
    await asyncio.to_thread(path.stat)

    async def heard() -> None:
        with suppress(NoWorkerError):
            async with Client(told.redis_url) as client:
                await client.spaces.list()

    async with _registry(told, needed=True) as registry, Engine(loaded.containers.docker_host) as engine:
        notes = Wiring(told, engine, registry).notes
        transfer = Transfer(engine, owner)
        unbundler = Unbundler(registry, notes, transfer, owner, _meter(tell), heard)
        return await unbundler.unbundle(path, tell)


@asynccontextmanager
async def _registry(told: WorkerSettings, *, needed: bool) -> AsyncIterator[Registry]:
    """The registry with the queue's catalogue; where that is not `needed`, also as it was written out."""
    async with connect(told.redis_url) as redis:
        registry = Registry(told.registry, store=CatalogueStore(redis), repositories=told.repositories)
        try:
            with told_as_ours(told.redis_url):
                await registry.caught_up()
        except NotConnectedError:
            if needed:
                raise
            registry = Registry(told.registry, repositories=told.repositories)
        yield registry


def _run(
    config: Path | None,
    options: Mapping[str, Any] | None,
    work: Callable[[DaemonSettings], Coroutine[Any, Any, BundleManifest]],
) -> BundleManifest:
    loaded = settings.load(config, options or {}, os.environ, os.getuid())
    configure(loaded.log_format, "warning")
    try:
        with _alone(loaded.state_dir):
            return asyncio.run(work(loaded))
    except EngineRefusedError as error:
        raise SpacedockError(f"{error}. Try `docker info`.") from error
    except OSError as error:
        raise SpacedockError(f"{error.filename or 'the bundle'}: {error.strerror or error}") from error


@contextmanager
def _alone(state_dir: Path) -> Iterator[None]:
    """One bundle at a time: each removes the helpers that a killed one left."""
    with (state_dir / "bundle.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SpacedockError("another bundle or unbundle is at work here: wait for its end") from None
        yield


def _meter(tell: OnProgress) -> Callable[[str], Callable[[int], None]]:
    """Says now and then how far each thing is."""

    def made(what: str) -> Callable[[int], None]:
        last = time.monotonic()

        def hear(count: int) -> None:
            nonlocal last
            if (now := time.monotonic()) - last >= _SAY_SECONDS:
                last = now
                tell(f"{what}: {count / 1e6:,.0f} MB")

        return hear

    return made


def _names(manifest: BundleManifest) -> str:
    return ", ".join(space.name for space in manifest.spaces)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
