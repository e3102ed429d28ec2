"""What a hostile program may do to the kernel, to its file systems and to other processes: nothing.

One program tries all of it, in one container on the real engine; each test looks at one attack.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.integration.hostile.conftest import Attacks, attacked, narrow

from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.pool.pool import Pool

Got = dict[str, Any]

NO = {"EPERM", "EACCES", "EROFS"}
IMAGE_FOLDERS = ["/", "/code", "/etc", "/usr/local/bin", "/home/user", "/var/lib"]
# The last five are those of the first or of the second version of cgroups.
KERNEL_FILES = [
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sysrq-trigger",
    "/sys/kernel/uevent_helper",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/fs/cgroup/pids/pids.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    "/sys/fs/cgroup/cgroup.procs",
    "/sys/fs/cgroup/pids.max",
    "/sys/fs/cgroup/memory.max",
]
SECRETS = [
    *("/dev/mem", "/dev/kmem", "/dev/port", "/dev/sda", "/dev/vda", "/dev/kmsg", "/dev/fuse", "/dev/kvm"),
    *("/proc/kcore", "/proc/kmsg", "/proc/keys", "/proc/timer_list", "/proc/1/root/etc/shadow"),
]
HARMLESS_DEVICES = {
    *("console", "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin"),
    *("stdout", "tty", "urandom", "zero"),
}
ENGINE_SOCKETS = ["/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock"]


@pytest.fixture(scope="module")
def bystander() -> Iterator[int]:
    """A process of this host."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process.pid
        assert process.poll() is None
        process.kill()


@pytest.fixture(scope="module")
def abstract() -> Iterator[str]:
    """A Unix socket of this host that has no file."""
    name = f"spacedock-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{name}")
        listener.listen()
        yield f"@{name}"


@pytest.fixture(scope="module")
def got(bystander: int, abstract: str, valkey_socket: Path) -> Got:
    """What came of each attack."""
    attacks: Attacks = {
        "rights": {},
        "become_root": {},
        "mount": {},
        "namespaces": {},
        "trace": {"pids": [bystander, os.getpid()]},
        "system_calls": {},
        "raise_limits": {},
        "write_root": {"paths": [*IMAGE_FOLDERS, "/dev", "/tmp"]},
        "write_system": {"paths": KERNEL_FILES},
        "read_system": {"paths": SECRETS},
        "make_devices": {},
        "devices": {},
        "local_sockets": {"paths": [*ENGINE_SOCKETS, str(valkey_socket), abstract]},
        "open_files": {"path": "/dev/null"},
        "fill": {"paths": ["/tmp", "/dev/shm"]},
    }
    with ThreadPoolExecutor() as threads:
        return threads.submit(asyncio.run, _made(attacks)).result()


async def _made(attacks: Attacks) -> Got:
    async with Engine() as engine, Pool[Any](engine, narrow()) as pool:
        answer = await attacked(engine, pool, attacks, read_only=True)
    assert isinstance(answer.data["output"], dict)
    return answer.data["output"]


def test_a_program_has_no_capability_and_a_seccomp_filter(got: Got) -> None:
    rights = got["rights"]
    assert rights["Uid"] == rights["Gid"] == ["1000"] * 4
    assert rights["Groups"] in ([], ["1000"])
    assert {rights[name][0] for name in rights if name.startswith("Cap")} == {"0" * 16}
    assert (rights["NoNewPrivs"], rights["Seccomp"]) == (["1"], ["2"])


def test_a_setuid_program_of_roots_runs_as_nobody_else(got: Got) -> None:
    told = {"mode": "0o4755", "ids": [1000, 1000, 1000], "setuid": "EPERM", "shadow": "EACCES"}
    assert got["become_root"] == told


def test_nothing_can_be_mounted_or_unmounted(got: Got) -> None:
    assert set(got["mount"].values()) <= NO


def test_no_namespace_can_be_made_or_entered(got: Got) -> None:
    assert set(got["namespaces"].values()) <= NO


def test_processes_outside_are_not_seen_or_traced(got: Got) -> None:
    context = got["trace"]
    # Numbers start again in each container: the init, the program, and what that program started.
    assert max(context["visible"]) < 100
    assert set(context["attached"].values()) == set(context["signalled"].values()) == {"ESRCH"}


def test_system_calls_for_the_hosts_root_are_refused(got: Got) -> None:
    assert set(got["system_calls"].values()) <= NO


def test_limits_cannot_be_raised(got: Got) -> None:
    assert set(got["raise_limits"].values()) <= {"ValueError", "PermissionError", *NO}


def test_the_root_cannot_be_written(got: Got) -> None:
    # /dev is root's, in memory; /tmp is there to be written.
    assert got["write_root"] == dict.fromkeys(IMAGE_FOLDERS, "EROFS") | {"/dev": "EACCES", "/tmp": "done"}


def test_the_kernels_files_and_its_own_limits_cannot_be_written(got: Got) -> None:
    assert set(got["write_system"].values()) <= {*NO, "ENOENT"}
    assert {got["write_system"][path] for path in KERNEL_FILES[:2]} <= NO
    assert NO & {got["write_system"][path] for path in KERNEL_FILES[-5:]}


def test_the_hosts_memory_disks_and_messages_cannot_be_read(got: Got) -> None:
    assert set(got["read_system"].values()) <= {*NO, "ENOENT", "ENODATA", "EIO"}


def test_there_are_only_harmless_devices_and_no_other_can_be_made(got: Got) -> None:
    assert set(got["make_devices"].values()) <= NO
    assert set(got["devices"]) <= HARMLESS_DEVICES


def test_the_engines_and_the_daemons_sockets_are_not_there(got: Got, abstract: str) -> None:
    tried = got["local_sockets"]
    assert tried[abstract] == "ECONNREFUSED"
    assert set(tried.values()) <= {"ENOENT", "EACCES", "ECONNREFUSED"}


def test_open_files_are_limited(got: Got) -> None:
    assert got["open_files"]["error"] == "EMFILE"
    assert got["open_files"]["files"] < 4096


def test_a_disk_in_memory_is_full_at_its_size(got: Got) -> None:
    for path, size in (("/tmp", 16 * 2**20), ("/dev/shm", 64 * 2**20)):
        assert got["fill"][path]["error"] == "ENOSPC"
        # Other files may lie there.
        assert size - 2**16 < got["fill"][path]["bytes"] <= size
