"""Which containers have which GPUs: one that wants a count of them gets none that is another's."""

from __future__ import annotations

from collections.abc import Sequence

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.gpu import Device, choose
from spacedock_worker.containers.spec import Gpu
from spacedock_worker.errors import HostBusyError


class GpuTable:
    """The GPUs (uuids) of containers by the containers' names; those that share ("auto") hold none.

    A stopped container holds none either, but can only be started again with those that it was made with.
    """

    def __init__(self) -> None:
        self._held: dict[str, tuple[str, ...]] = {}
        self._stopped: dict[str, tuple[str, ...]] = {}

    @property
    def held(self) -> frozenset[str]:
        """The GPUs that somebody has."""
        return frozenset(uuid for uuids in self._held.values() for uuid in uuids)

    def give(self, name: str, wanted: Gpu, present: Sequence[Device], min_free: int = 0) -> tuple[str, ...]:
        """Choose GPUs for the container, and hold them for it. Raises StepError as `choose` does."""
        chosen = choose(wanted, present, min_free, self.held)
        if wanted not in ("auto", "none"):
            self._held[name] = chosen
        return chosen

    def adopt(self, name: str, gpus: tuple[str, ...], *, stopped: bool) -> None:
        """An earlier worker's container has these."""
        (self._stopped if stopped else self._held)[name] = gpus

    def stopped(self, name: str) -> None:
        """The container runs no longer: others may have its GPUs."""
        if gpus := self._held.pop(name, ()):
            self._stopped[name] = gpus

    def restart(self, name: str) -> None:
        """Hold a stopped container's GPUs again. Raises HostBusyError where somebody has one by now."""
        gpus = self._stopped.get(name, ())
        if not self.held.isdisjoint(gpus):
            message = "the GPU that the stopped container was made with is another Space's now."
            raise HostBusyError(Stage.START, ErrorKind.START_FAILED, message)
        if gpus:
            self._held[name] = self._stopped.pop(name)

    def removed(self, name: str) -> None:
        """The container is no more; twice is safe."""
        self._held.pop(name, None)
        self._stopped.pop(name, None)
