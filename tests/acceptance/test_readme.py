"""The README's script and the demo, as a newcomer would run them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.acceptance.running import Daemon

ROOT = Path(__file__).parent.parent.parent


def test_the_script_of_the_readme_runs_as_written(daemon: Daemon) -> None:
    (script,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    env = {**daemon.env, "SPACEDOCK_REDIS_URL": daemon.url}
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    lines = dict(line.split("   ", 1) for line in ran.stdout.splitlines())
    assert "positive" in lines["I love this chair."]
    assert len(script.strip().splitlines()) <= 15


def test_the_demo_keeps_its_promises(clean_env: dict[str, str]) -> None:
    command = [sys.executable, ROOT / "deploy/demo/demo.py"]
    ran = subprocess.run(command, env=clean_env, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for words in ("SPACE DOCK", "hello world", "positive", "stand-in for SmolLM3"):
        assert words in ran.stdout
