"""A real image registry (Debian's docker-registry) on loopback, which engines trust without TLS."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 60.0


class ImageRegistry:
    """A registry that can be killed and started again at the same address.

    `extra` is YAML for its configuration, `http` for the section of that name.
    """

    def __init__(self, folder: Path, extra: str = "", *, host: str = "127.0.0.1", http: str = "") -> None:
        self.address = free_address(host)
        self._config = folder / f"{self.address}.yml"
        self._config.write_text(
            f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}}}}}\n"
            f"http: {{addr: '{self.address}', {http}}}\n{extra}"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns once it answers."""
        command = ["docker-registry", "serve", str(self._config)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _wait_for(self.address)

    def kill(self) -> None:
        """As a crash would; safe to call twice."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()


@contextmanager
def image_registry(
    folder: Path, extra: str = "", *, host: str = "127.0.0.1", http: str = ""
) -> Iterator[str]:
    """Runs a registry with its files in `folder`, and gives its address."""
    registry = ImageRegistry(folder, extra, host=host, http=http)
    try:
        registry.start()
        yield registry.address
    finally:
        registry.kill()


def free_address(host: str = "127.0.0.1") -> str:
    """An address of this machine that nobody listens at."""
    with socket.socket() as free:
        free.bind((host, 0))
        return f"{host}:{free.getsockname()[1]}"


def docker(*arguments: str, stdin: bytes = b"", config: Path | None = None) -> str:
    """The docker command; `config` is a folder with another configuration than the user's."""
    options = ["--config", str(config)] if config else []
    done = subprocess.run(["docker", *options, *arguments], input=stdin, check=True, capture_output=True)
    return done.stdout.decode()


def put(reference: str, *layers: int, changes: Sequence[str] = (), config: Path | None = None) -> None:
    """Make an image with layers of so many random bytes, push it, and remove it from this host.

    Random, since they should neither shrink on the way nor be shared with another test's image.
    """
    first, *others = layers or (2**20,)
    options = [option for change in changes for option in ("--change", change)]
    docker("import", *options, "-", reference, stdin=_tree("home/user/app/app.py", first))
    for number, size in enumerate(others):
        context = _context(f"FROM {reference}\nADD layer /layer-{number}\n", size)
        docker("build", "--quiet", "--tag", reference, "-", stdin=context)
    docker("push", "--quiet", reference, config=config)
    docker("image", "rm", "--force", reference)


def _tree(name: str, size: int) -> bytes:
    return _packed({name: os.urandom(size)})


def _context(dockerfile: str, size: int) -> bytes:
    return _packed({"Dockerfile": dockerfile.encode(), "layer": os.urandom(size)})


def _packed(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _wait_for(address: str) -> None:
    host, _, port = address.partition(":")
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
            return
        except OSError:
            # A registry that starts has no way of telling when it listens.
            time.sleep(0.05)
    raise TimeoutError(f"no image registry at {address}")
