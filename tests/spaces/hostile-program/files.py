"""Attacks on file systems, and on whoever reads what is left there."""

import os
from pathlib import Path

from outcome import outcome

OUTPUT = Path("/workspace/output")
BLOCK = b"\0" * 2**20


def write_root(paths):
    """Write a file in each folder."""
    return {path: outcome(Path(path, "mine").write_text, "x") for path in paths}


def write_system(paths):
    """Write to each file that the kernel shows."""
    return {path: outcome(_open_write, path) for path in paths}


def read_system(paths):
    """Read the first bytes of each file."""
    return {path: outcome(_open_read, path) for path in paths}


def make_devices():
    """Make the host's disks and memory anew."""
    import stat

    block = outcome(os.mknod, "/tmp/disk", 0o666 | stat.S_IFBLK, os.makedev(8, 0))
    memory = outcome(os.mknod, "/tmp/mem", 0o666 | stat.S_IFCHR, os.makedev(1, 1))
    return {"disk": block, "memory": memory}


def devices():
    """What there is in /dev."""
    return sorted(os.listdir("/dev"))


def fill(paths):
    """Write a file in each folder until that fails; bytes written, and why no more."""
    return {path: _filled(Path(path, "filler")) for path in paths}


def leave_names(names):
    """Leave a file of each name in the output folder; names with a slash are tried as paths."""
    return {name: outcome((OUTPUT / name).write_text, "theirs") for name in names}


def leave_links(targets):
    """Leave links in the output folder that lead out of it, to files and folders, and in a circle."""
    for number, target in enumerate(targets):
        os.symlink(target, OUTPUT / f"link-{number}")
    os.symlink(".", OUTPUT / "circle")
    (OUTPUT / "folder").mkdir()
    os.symlink("../../../../etc", OUTPUT / "folder" / "up")
    (OUTPUT / "plain.txt").write_text("plain")
    return {}


def _filled(path):
    written = 0

    def go_on():
        nonlocal written
        with open(path, "wb", buffering=0) as file:
            while True:
                written += file.write(BLOCK)

    error = outcome(go_on)
    path.unlink()
    return {"error": error, "bytes": written}


def _open_write(path):
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, b"1")
    finally:
        os.close(descriptor)


def _open_read(path):
    with open(path, "rb", buffering=0) as file:
        if not file.read(1):
            raise OSError(61, "nothing in it")
