"""Pulling from a real image registry (Debian's docker-registry), with and without what was asked for."""

from __future__ import annotations

import io
import socket
import subprocess
import tarfile
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers import Engine
from spacedock_worker.errors import StepError
from spacedock_worker.images import Images, ImageSettings, SpaceSource

START_SECONDS = 20.0
SPACES = Path(__file__).parent.parent / "spaces"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an image registry on loopback, which engines trust without TLS."""
    folder = tmp_path_factory.mktemp("registry")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    config = folder / "config.yml"
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}}}}}\nhttp: {{addr: '{address}'}}\n"
    )
    with subprocess.Popen(
        ["docker-registry", "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            _wait_for(f"http://{address}/v2/")
            yield address
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def pushed(registry: str) -> Iterator[str]:
    """A small image that is in the registry and not on this host."""
    reference = f"{registry}/user-space:latest"
    docker("import", "--change", "LABEL io.spacedock.test=pull", "-", reference, stdin=_tree())
    docker("push", "--quiet", reference)
    docker("image", "rm", reference)
    yield reference
    docker("image", "rm", "--force", reference)


@pytest.fixture
async def images() -> AsyncIterator[Images]:
    async with Engine() as engine:
        yield Images(engine, ImageSettings())


async def test_an_image_is_pulled_with_progress_and_known_by_its_digest(images: Images, pushed: str) -> None:
    said: list[str] = []
    image = await images.get(SpaceSource("space", docker_image=pushed), said.append)
    assert image.reference == pushed
    assert image.digest.startswith("sha256:")
    assert any("pulling" in text for text in said)
    # An image without a command of its own is a Gradio Space's: the Hub starts it with its app.
    assert image.command == ("python", "app.py")


async def test_an_image_that_is_present_is_not_pulled_again(images: Images, pushed: str) -> None:
    await images.get(SpaceSource("space", docker_image=pushed), lambda _: None)
    said: list[str] = []
    await images.get(SpaceSource("space", docker_image=pushed), said.append)
    assert said == []


async def test_an_image_that_the_registry_lacks_is_an_error_that_names_it(
    images: Images, registry: str
) -> None:
    missing = f"{registry}/no-such-space:latest"
    with pytest.raises(StepError) as caught:
        await images.get(SpaceSource("space", docker_image=missing), lambda _: None)
    assert (caught.value.stage, caught.value.kind) == (Stage.PULL, ErrorKind.PULL_FAILED)
    assert missing in str(caught.value)


def docker(*arguments: str, stdin: bytes = b"") -> None:
    subprocess.run(["docker", *arguments], input=stdin, check=True, capture_output=True)


def _tree() -> bytes:
    """A root filesystem of one file, large enough for the engine to report progress."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        content = bytes(range(256)) * 4096
        info = tarfile.TarInfo("home/user/app/app.py")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _wait_for(url: str) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            # A registry that starts has no way of telling when it listens.
            time.sleep(0.05)
    raise TimeoutError(f"no image registry at {url}")
