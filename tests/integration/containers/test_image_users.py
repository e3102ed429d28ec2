"""Spaces whose Dockerfile gives their files to another user than uid 1000: what a person reads."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Callable, Iterator

import pytest
from tests.integration.containers.parts import answers, ours, silent

from spacedock.result import ErrorKind
from spacedock_worker.containers.pool.pool import Pool
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.errors import StepError

BY_NUMBER = 'RUN install -d -m 750 -o 1001 /srv/app\nUSER 1001\nCMD ["sh", "-c", "cat /srv/app/weights"]'
BY_NAME = """RUN useradd -u 1002 app && install -d -m 700 -o app /home/app && touch /home/app/app.py
USER app
WORKDIR /home/app
CMD ["python3", "app.py"]"""
WRITES = 'RUN install -d -o 1001 /data\nUSER 1001:1001\nCMD ["python3", "-c", "open(\'/data/state\', \'w\')"]'
ROOTS = 'USER root\nCMD ["python3", "-c", "open(\'/etc/shadow\')"]'
OWN = 'RUN install -d -m 700 -o 1000 /srv/app\nUSER 1000\nCMD ["python3", "-c", "open(\'/etc/shadow\')"]'


@pytest.fixture
def image(base: str) -> Iterator[Callable[[str], str]]:
    """Builds an image from the last lines of a Dockerfile."""
    made: list[str] = []

    def build(lines: str) -> str:
        tag = f"spacedock-test-users:{secrets.token_hex(6)}"
        text = f"FROM {base}\nUSER root\n{lines}\n"
        subprocess.run(["docker", "build", "-q", "-t", tag, "-"], input=text.encode(), check=True)
        made.append(tag)
        return tag

    yield build
    if made:
        subprocess.run(["docker", "rmi", *made], check=True, stdout=subprocess.DEVNULL)


async def failure(engine, settings, reference: str) -> StepError:
    async with Pool(engine, settings) as pool:
        with pytest.raises(StepError) as caught:
            async with pool.lease(ContainerSpec("other", reference, reference), answers, silent):
                pass
    assert await ours(engine, settings.instance_id) == []
    return caught.value


@pytest.mark.parametrize(
    ("lines", "user"),
    [(BY_NUMBER, "1001"), (BY_NAME, "app"), (WRITES, "1001:1001"), (ROOTS, "root")],
)
async def test_an_app_that_may_not_use_its_files_says_whom_spaces_run_as(
    engine, settings, image, lines: str, user: str
) -> None:
    error = await failure(engine, settings, image(lines))
    # Newer engines refuse a folder to start in that is not the user's.
    assert error.kind in (ErrorKind.CRASHED, ErrorKind.START_FAILED)
    assert f"Spaces run as uid 1000, as on Hugging Face, whatever user the image names ({user})" in str(error)
    assert "COPY --chown=1000" in str(error)


async def test_an_app_that_runs_as_its_image_means_it_is_told_nothing_of_users(
    engine, settings, image
) -> None:
    error = await failure(engine, settings, image(OWN))
    assert "Permission denied" in str(error)
    assert "uid 1000" not in str(error)
