"""This host's GPUs: which there are (by NVML, where it is installed), and which a Space gets."""

from __future__ import annotations

import ctypes
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.spec import Gpu
from spacedock_worker.errors import HostBusyError, StepError

log = structlog.get_logger()

_LIBRARY = "libnvidia-ml.so.1"
_UUID_BYTES = 96
_ADVICE = "See `nvidia-smi`, or set `gpu: none` for this Space."


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU by its uuid; `total` and `free` are bytes of its memory, now."""

    index: int
    uuid: str
    total: int
    free: int


def choose(
    wanted: Gpu, present: Sequence[Device], min_free: int = 0, taken: Collection[str] = ()
) -> tuple[str, ...]:
    """The uuids of the GPUs for a container: of those with `min_free` bytes free, the freest first (pure).

    "auto" takes what there is, or nothing. Ids are uuids or indices; who names one may share it. Who wants a
    count gets none of those that are `taken`: an app that has just started has not filled its memory yet.
    Raises StepError at stage `start`: `unsupported` where this host does not have them; HostBusyError
    (`start_failed`) where they are too full, or taken, now.
    """
    free = sorted((d for d in present if d.free >= min_free), key=lambda d: (-d.free, d.index))
    if wanted == "none":
        return ()
    if wanted == "auto":
        return tuple(device.uuid for device in free)
    if isinstance(wanted, int):
        return _count(wanted, present, [device for device in free if device.uuid not in taken])
    return _named(tuple(wanted), present, free)


def devices() -> tuple[Device, ...]:
    """The GPUs of this host, by NVML; none where that is not installed, or answers with an error. Blocks."""
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError:
        return ()
    return devices_of(library)


def devices_of(nvml: Any) -> tuple[Device, ...]:
    """The GPUs that a loaded NVML tells of."""
    if nvml.nvmlInit_v2() != 0:
        log.info("gpu.no_driver")
        return ()
    try:
        return tuple(_devices(nvml))
    finally:
        nvml.nvmlShutdown()


class _Memory(ctypes.Structure):
    """NVML's nvmlMemory_t."""

    _fields_ = (
        ("total", ctypes.c_ulonglong),
        ("free", ctypes.c_ulonglong),
        ("used", ctypes.c_ulonglong),
    )


def _devices(nvml: Any) -> Iterator[Device]:
    count = ctypes.c_uint()
    if nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
        return
    for index in range(count.value):
        handle, uuid, memory = ctypes.c_void_p(), ctypes.create_string_buffer(_UUID_BYTES), _Memory()
        asked = (
            nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(handle)),
            nvml.nvmlDeviceGetUUID(handle, uuid, ctypes.c_uint(_UUID_BYTES)),
            nvml.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)),
        )
        if any(asked):
            log.warning("gpu.not_asked", index=index, codes=asked)
            continue
        yield Device(index, uuid.value.decode("ascii", "replace"), memory.total, memory.free)


def _count(wanted: int, present: Sequence[Device], free: Sequence[Device]) -> tuple[str, ...]:
    if wanted > len(present):
        there = f"has {len(present)}" if present else "has none"
        raise _refused(ErrorKind.UNSUPPORTED, f"the Space needs {_gpus(wanted)}, and this host {there}")
    if wanted > len(free):
        message = f"{len(free)} of {len(present)} have the memory free and are no other Space's"
        raise _busy(f"the Space needs {_gpus(wanted)}, and only {message}")
    return tuple(device.uuid for device in free[:wanted])


def _named(wanted: tuple[str, ...], present: Sequence[Device], free: Sequence[Device]) -> tuple[str, ...]:
    known = {name: device for device in present for name in (device.uuid, str(device.index))}
    if missing := [name for name in wanted if name not in known]:
        message = f"the Space needs the GPU {', '.join(missing)}, which this host does not have"
        raise _refused(ErrorKind.UNSUPPORTED, message)
    if full := [name for name in wanted if known[name] not in free]:
        message = f"the Space needs the GPU {', '.join(full)}, whose memory is in use"
        raise _busy(message)
    return tuple(dict.fromkeys(known[name].uuid for name in wanted))


def _gpus(count: int) -> str:
    return "a GPU" if count == 1 else f"{count} GPUs"


def _refused(kind: ErrorKind, message: str) -> StepError:
    return StepError(Stage.START, kind, f"{message}. {_ADVICE}")


def _busy(message: str) -> StepError:
    return HostBusyError(Stage.START, ErrorKind.START_FAILED, f"{message}. {_ADVICE}")


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
