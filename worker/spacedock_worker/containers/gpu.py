"""GPUs: which there are, and which of them a container gets."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.spec import Gpu
from spacedock_worker.errors import StepError

_LIBRARY = "libnvidia-ml.so.1"
_UUID_LENGTH = 96


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU of this host: its id as the driver names it, bytes of memory in all, and free now."""

    id: str
    total: int
    free: int


class _Memory(ctypes.Structure):
    """NVML's nvmlMemory_t."""

    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


def devices() -> tuple[Device, ...]:
    """The GPUs that NVIDIA's management library (NVML) knows; none where it is absent. Blocks shortly."""
    try:
        nvml = ctypes.CDLL(_LIBRARY)
    except OSError:
        return ()
    if nvml.nvmlInit_v2() != 0:
        return ()
    try:
        count = ctypes.c_uint()
        nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))
        found = (_device(nvml, index) for index in range(count.value))
        return tuple(device for device in found if device is not None)
    finally:
        nvml.nvmlShutdown()


def _device(nvml: ctypes.CDLL, index: int) -> Device | None:
    handle, memory = ctypes.c_void_p(), _Memory()
    uuid = ctypes.create_string_buffer(_UUID_LENGTH)
    failed = (
        nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle))
        or nvml.nvmlDeviceGetUUID(handle, uuid, _UUID_LENGTH)
        or nvml.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory))
    )
    return None if failed else Device(uuid.value.decode(), memory.total, memory.free)


def choose(wanted: Gpu, present: Sequence[Device], min_free: int, space: str) -> tuple[str, ...]:
    """The ids of the GPUs that a container gets: of those with `min_free` bytes free, those with most.

    "auto" gets one if there is one that is free. Raises StepError `start_failed` where what the Space asks
    for by count or id is not there, or is not free.
    """
    if wanted == "none":
        return ()
    ready = sorted((device for device in present if device.free >= min_free), key=lambda d: -d.free)
    if wanted == "auto":
        return tuple(device.id for device in ready[:1])
    if isinstance(wanted, int):
        enough = [device.id for device in ready[:wanted]]
        if len(enough) == wanted:
            return tuple(enough)
        raise _refused(space, f"{wanted} GPU{'s' if wanted > 1 else ''}", present, len(ready), min_free)
    missing = [id for id in wanted if id not in {device.id for device in ready}]
    if missing:
        raise _refused(space, f"the GPU {missing[0]}", present, len(ready), min_free)
    return wanted


def requests(ids: Sequence[str]) -> tuple[Mapping[str, Any], ...]:
    """Docker's device requests for those GPUs."""
    if not ids:
        return ()
    return ({"Driver": "nvidia", "DeviceIDs": list(ids), "Capabilities": [["gpu"]]},)


def _refused(space: str, wanted: str, present: Sequence[Device], free: int, min_free: int) -> StepError:
    if not present:
        there = "this host has none (NVIDIA's libnvidia-ml.so.1 names no device)"
    else:
        there = f"of this host's {len(present)} only {free} have {min_free / 2**30:.1f} GB of memory free"
    message = f"{space} needs {wanted}, but {there}. Set `gpu: none` for it, or run it on another host."
    return StepError(Stage.START, ErrorKind.START_FAILED, message)
