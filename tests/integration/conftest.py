"""What integration tests leave on the engine by intention goes when they are over."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest
from tests.leftovers import remove_caches, remove_old_networks

from spacedock_worker.images.build.flavours import base_names, choose_base


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Remove the cache volumes of tests' Spaces, unless other parts run beside this one (tests/all.sh)."""
    remove_old_networks()
    yield
    if "TESTS_BESIDE" not in os.environ:
        remove_caches()


@pytest.fixture(scope="session")
def base() -> str:
    """A base image with Python that is on this host; an engine with many images lists them slowly."""
    looking = ["docker", "image", "inspect", "--format", '{{join .RepoTags " "}}', *base_names({})]
    found = subprocess.run(looking, capture_output=True, text=True, check=False)
    return choose_base(None, {}, set(found.stdout.split()))
