"""What integration tests leave on the engine by intention goes when they are over."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from spacedock_worker.images.build.flavours import choose_base

TEST_CACHES = "name=^spacedock-test-"


@pytest.fixture(scope="session", autouse=True)
def no_caches_are_left() -> Iterator[None]:
    """Remove the cache volumes of tests' Spaces, which outlive the daemons that made them."""
    yield
    listing = ["docker", "volume", "ls", "--quiet", "--filter", "dangling=true", "--filter", TEST_CACHES]
    listed = subprocess.run(listing, capture_output=True, text=True, check=False)
    if names := listed.stdout.split():
        # Another run's may be in use by now.
        subprocess.run(["docker", "volume", "rm", *names], capture_output=True, check=False)


@pytest.fixture(scope="session")
def base() -> str:
    """A base image with Python that is on this host; an engine with many images lists them slowly."""
    listing = ["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]
    listed = subprocess.run(listing, capture_output=True, text=True, check=True)
    return choose_base(None, {}, set(listed.stdout.split()))
