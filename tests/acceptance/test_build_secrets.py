"""A Space whose Dockerfile mounts a secret at its build, by a real daemon."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tests.acceptance.conftest import StartDaemon

CASE = Path(__file__).parent.parent / "cases/docker/dk-secret"


def test_a_build_gets_the_secret_of_the_spaces_entry(
    make_daemon: StartDaemon, pytestconfig: pytest.Config
) -> None:
    if not pytestconfig.getoption("--all-versions"):
        pytest.skip("builds for long: make test-full")
    daemon = make_daemon(start=False)
    entry = {"repository": str(CASE), "secrets": ["API_KEY"]}
    spaces = {"noter": entry, "sealed": {**entry, "network": False}}
    (daemon.folder / "registry.yaml").write_text(yaml.safe_dump({"spaces": spaces}))
    for name in spaces:
        secret = Path(daemon.folder, "state/secrets", name, "API_KEY")
        secret.parent.mkdir(parents=True)
        secret.write_text("s3cret")
    daemon.start()
    ran = daemon.spacedock("run", "hello", "--space", "noter", "--no-fallback", limit=400)
    assert (ran.code, "HELLO" in ran.out) == (0, True), ran.err
    ran = daemon.spacedock("run", "hello", "--space", "sealed", "--no-fallback", limit=400)
    assert ran.code == 1
    assert "the secret API_KEY" in ran.err
    assert "network: false" in ran.err
