"""Attacks on the kernel's rights: more of them, or other processes."""

import ctypes
import json
import os
import platform
import resource
import subprocess
import time

from outcome import call, libc, outcome

NEW_NAMESPACES = {"user": 0x10000000, "mount": 0x20000, "network": 0x40000000, "pid": 0x20000000, "uts": 0x4000000}
PTRACE_ATTACH = 16
NUMBERS = {
    "x86_64": {"add_key": 248, "keyctl": 250, "bpf": 321, "perf_event_open": 298, "kexec_load": 246, "init_module": 175,
               "userfaultfd": 323, "open_by_handle_at": 304},
    "aarch64": {"add_key": 217, "keyctl": 219, "bpf": 280, "perf_event_open": 241, "kexec_load": 104, "init_module": 105,
                "userfaultfd": 282, "open_by_handle_at": 265},
}  # fmt: skip
BECOME_ROOT = """
import errno, json, os
def outcome(attempt, *arguments):
    try:
        attempt(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"
ids = os.getresuid()
print(json.dumps({"ids": ids, "setuid": outcome(os.setuid, 0), "shadow": outcome(open, "/etc/shadow")}))
"""


def become_root():
    """Run a program that belongs to root and asks to be run as root."""
    path = "/usr/local/bin/rooted-python"
    said = subprocess.run([path, "-c", BECOME_ROOT], capture_output=True, check=True).stdout
    return {"mode": oct(os.stat(path).st_mode & 0o7777), **json.loads(said)}


def rights():
    """What the kernel says of this process's rights."""
    with open("/proc/self/status") as status:
        fields = dict(line.split(":\t", 1) for line in status.read().splitlines() if ":\t" in line)
    names = ("Uid", "Gid", "Groups", "CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")
    return {name: fields[name].split() for name in names}


def mount():
    """Mount a file system, and take one away that hides something."""
    lib = libc()
    return {
        "tmpfs": outcome(call, lib.mount, b"none", b"/tmp", b"tmpfs", 0, None),
        "proc": outcome(call, lib.mount, b"proc", b"/tmp", b"proc", 0, None),
        "bind": outcome(call, lib.mount, b"/", b"/tmp", None, 4096, None),
        "remount": outcome(call, lib.mount, None, b"/", None, 32 | 4096, None),
        "umount": outcome(call, lib.umount2, b"/proc/kcore", 2),
        "pivot_root": outcome(os.chroot, "/tmp"),
    }


def namespaces():
    """Make namespaces of its own, in which it would be root."""
    lib = libc()
    made = {name: outcome(call, lib.unshare, flag) for name, flag in NEW_NAMESPACES.items()}
    return made | {"clone": _clone_user(lib), "setns": _enter(lib)}


def trace(pids):
    """Attach and send signals to processes by the host's numbers, and say which it sees at all."""
    lib = libc()
    visible = sorted(int(name) for name in os.listdir("/proc") if name.isdecimal())
    attached = {pid: outcome(call, lib.ptrace, PTRACE_ATTACH, pid, None, None) for pid in pids}
    signalled = {pid: outcome(os.kill, pid, 0) for pid in pids}
    return {"visible": visible, "attached": attached, "signalled": signalled}


def system_calls():
    """Calls that only the host's root has a use for."""
    lib, numbers = libc(), NUMBERS[platform.machine()]
    some = ctypes.create_string_buffer(256)
    made = {name: outcome(call, lib.syscall, number, some, some, 0, 0, 0) for name, number in numbers.items()}
    return made | {
        "reboot": outcome(call, lib.reboot, 0x89ABCDEF),
        "swapon": outcome(call, lib.swapon, b"/tmp", 0),
        "settime": outcome(time.clock_settime, time.CLOCK_REALTIME, time.time()),
        "sethostname": outcome(call, lib.sethostname, b"mine", 4),
    }


def raise_limits():
    """Take back what it was denied."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    core = resource.RLIMIT_CORE
    return {
        "nofile": _raised(resource.RLIMIT_NOFILE, hard + 1),
        "core": _raised(core, 1),
        "priority": outcome(os.setpriority, os.PRIO_PROCESS, 0, -10),
        "realtime": outcome(os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(10)),
        "never_killed": outcome(_write, "/proc/self/oom_score_adj", "-1000"),
    }


def _raised(what, limit):
    try:
        resource.setrlimit(what, (limit, limit))
    except (OSError, ValueError) as error:
        return type(error).__name__
    return "done"


def _write(path, text):
    with open(path, "w") as file:
        file.write(text)


def _clone_user(lib):
    # The raw call, as programs make it that want no library's help: a child, a copy of this process.
    child = lib.syscall({"x86_64": 56, "aarch64": 220}[platform.machine()], 0x10000000 | 17, None, None, None, None)
    if child == 0:
        os._exit(0)
    return "done" if child > 0 else outcome(_raise, ctypes.get_errno())


def _raise(number):
    raise OSError(number, os.strerror(number))


def _enter(lib):
    def go_in():
        with open("/proc/1/ns/mnt") as namespace:
            call(lib.setns, namespace.fileno(), 0)

    return outcome(go_in)
