"""Which GPUs a Space gets of those that are there."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.machine.gpu import Device, GpuTable, choose, devices, devices_of
from spacedock_worker.containers.pool.history import Quarantine
from spacedock_worker.containers.spec import Gpu
from spacedock_worker.errors import HostBusyError, StepError

GB = 2**30
FULL, HALF, FREE = (Device(i, f"GPU-{i}", 80 * GB, free * GB) for i, free in enumerate((1, 40, 79)))
DEVICES = (FULL, HALF, FREE)


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ("none", ()),
        ("auto", ("GPU-2", "GPU-1")),
        (1, ("GPU-2",)),
        (2, ("GPU-2", "GPU-1")),
        (("GPU-1",), ("GPU-1",)),
        (("1", "GPU-1"), ("GPU-1",)),
        (("2", "1"), ("GPU-2", "GPU-1")),
    ],
)
def test_the_freest_that_are_wanted_are_given(wanted: Gpu, chosen: tuple[str, ...]) -> None:
    assert choose(wanted, DEVICES, 20 * GB) == chosen


def test_without_a_gpu_auto_gives_none() -> None:
    assert choose("auto", ()) == ()


@pytest.mark.parametrize(
    ("wanted", "present", "kind", "words"),
    [
        (1, (), ErrorKind.UNSUPPORTED, "needs a GPU, and this host has none"),
        (4, DEVICES, ErrorKind.UNSUPPORTED, "needs 4 GPUs, and this host has 3"),
        (3, DEVICES, ErrorKind.START_FAILED, "only 2 of 3 have the memory free and are"),
        (("GPU-9",), DEVICES, ErrorKind.UNSUPPORTED, "GPU-9, which this host does not have"),
        (("0",), (), ErrorKind.UNSUPPORTED, "0, which this host does not have"),
        (("GPU-0",), DEVICES, ErrorKind.START_FAILED, "GPU-0, whose memory is in use"),
    ],
)
def test_what_is_not_there_is_refused(wanted: Gpu, present: Any, kind: ErrorKind, words: str) -> None:
    with pytest.raises(StepError, match=words) as caught:
        choose(wanted, present, 20 * GB)
    assert (caught.value.stage, caught.value.kind) == (Stage.START, kind)
    assert "gpu: none" in str(caught.value)


@given(st.lists(st.integers(0, 80)), st.integers(0, 80), st.integers(1, 8) | st.just("auto"))
def test_nobody_gets_a_gpu_twice_nor_a_full_one(free: list[int], least: int, wanted: Any) -> None:
    present = [Device(i, f"GPU-{i}", 80, bytes_) for i, bytes_ in enumerate(free)]
    try:
        chosen = choose(wanted, present, least)
    except StepError:
        assert wanted != "auto"
        return
    assert len(set(chosen)) == len(chosen)
    assert all(device.free >= least for device in present if device.uuid in chosen)
    assert wanted == "auto" or len(chosen) == wanted


def test_a_host_without_nvml_has_none() -> None:
    """True of the machines that these tests run on; where there is a GPU, its memory is told."""
    assert all(0 <= device.free <= device.total for device in devices())


def nvml(init: int = 0, memory: int = 0) -> SimpleNamespace:
    """NVML's functions as C has them, for two GPUs: stands in for the library, which needs a driver."""
    pointer, uint = ctypes.c_void_p, ctypes.c_uint

    def set_count(count: int) -> int:
        uint.from_address(count).value = 2
        return 0

    def set_handle(index: int, handle: int) -> int:
        pointer.from_address(handle).value = 100 + index
        return 0

    def set_uuid(handle: int, text: int, size: int) -> int:
        ctypes.memmove(text, f"GPU-{handle}".encode(), min(size, 8))
        return 0

    def set_memory(handle: int, numbers: int) -> int:
        (ctypes.c_ulonglong * 3).from_address(numbers)[:] = [80 * GB, 60 * GB, 20 * GB]
        return memory

    def function(*arguments: Any) -> Any:
        return ctypes.CFUNCTYPE(ctypes.c_int, *arguments)

    return SimpleNamespace(
        nvmlInit_v2=function()(lambda: init),
        nvmlShutdown=function()(lambda: 0),
        nvmlDeviceGetCount_v2=function(pointer)(set_count),
        nvmlDeviceGetHandleByIndex_v2=function(uint, pointer)(set_handle),
        nvmlDeviceGetUUID=function(pointer, pointer, uint)(set_uuid),
        nvmlDeviceGetMemoryInfo=function(pointer, pointer)(set_memory),
    )


def test_nvml_tells_what_is_there() -> None:
    found = devices_of(nvml())
    assert found == tuple(Device(i, f"GPU-{100 + i}", 80 * GB, 60 * GB) for i in range(2))


@pytest.mark.parametrize("broken", [nvml(init=9), nvml(memory=15)])
def test_a_driver_that_fails_has_no_gpu(broken: Any) -> None:
    assert devices_of(broken) == ()


@pytest.fixture
def table() -> GpuTable:
    return GpuTable()


def test_two_containers_that_want_a_gpu_get_different_ones(table: GpuTable) -> None:
    """The first app has not filled its GPU yet, which therefore still is the freest."""
    given = [table.give(name, 1, DEVICES, 20 * GB) for name in ("one", "two")]
    assert given == [("GPU-2",), ("GPU-1",)]
    with pytest.raises(HostBusyError, match="no other Space's"):
        table.give("three", 1, DEVICES, 20 * GB)
    table.removed("one")
    assert table.give("three", 1, DEVICES, 20 * GB) == ("GPU-2",)


def test_who_shares_or_names_a_gpu_may_have_one_that_is_in_use(table: GpuTable) -> None:
    table.give("one", 1, DEVICES)
    assert table.give("shares", "auto", DEVICES) == ("GPU-2", "GPU-1", "GPU-0")
    assert table.give("names", ("2",), DEVICES) == ("GPU-2",)
    assert table.held == {"GPU-2"}


def test_a_stopped_container_restarts_only_with_its_own_gpus(table: GpuTable) -> None:
    table.give("one", 1, DEVICES)
    table.stopped("one")
    assert table.give("two", 1, DEVICES) == ("GPU-2",)
    with pytest.raises(HostBusyError, match="another Space's now"):
        table.restart("one")
    table.removed("two")
    table.restart("one")
    assert table.held == {"GPU-2"}


def test_gpus_of_an_earlier_workers_container_are_not_given_again(table: GpuTable) -> None:
    table.adopt("running", ("GPU-2",), stopped=False)
    table.adopt("stopped", ("GPU-1",), stopped=True)
    assert table.give("one", 1, DEVICES) == ("GPU-1",)


def test_full_gpus_are_not_held_against_a_space() -> None:
    quarantine = Quarantine()
    for _ in range(3):
        with pytest.raises(HostBusyError) as caught:
            choose(3, DEVICES, 20 * GB)
        quarantine.failed("key", "space", caught.value, now=0.0)
    quarantine.check("key", now=0.0)
