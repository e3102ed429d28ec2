"""What every integration test finds on the engine: no leftovers of old runs, and a base image."""

from __future__ import annotations

import subprocess

import pytest
from tests.leftovers import remove_old

from spacedock_worker.images.build.flavours import base_names, choose_base


@pytest.fixture(scope="session", autouse=True)
def nothing_old_is_left() -> None:
    """Remove what earlier runs left that were killed."""
    remove_old()


@pytest.fixture(scope="session")
def base() -> str:
    """A base image with Python that is on this host; an engine with many images lists them slowly."""
    looking = ["docker", "image", "inspect", "--format", '{{join .RepoTags " "}}', *base_names({})]
    found = subprocess.run(looking, capture_output=True, text=True, check=False)
    return choose_base(None, {}, set(found.stdout.split()))
