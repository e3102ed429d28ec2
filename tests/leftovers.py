"""`python -m tests.leftovers`: removes the cache volumes of tests' Spaces, which outlive their daemons."""

from __future__ import annotations

import subprocess

TEST_CACHES = "name=^spacedock-test-"


def remove_caches() -> None:
    """Remove those that no container uses."""
    listing = ["docker", "volume", "ls", "--quiet", "--filter", "dangling=true", "--filter", TEST_CACHES]
    listed = subprocess.run(listing, capture_output=True, text=True, check=False)
    if names := listed.stdout.split():
        # Another run's may be in use by now.
        subprocess.run(["docker", "volume", "rm", *names], capture_output=True, check=False)


if __name__ == "__main__":
    remove_caches()
