"""The README's script, the first steps of docs/index.md and the demo, as a newcomer would run them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.acceptance.running import BIN, Daemon

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


def test_the_first_steps_of_the_documentation_run_as_written(
    daemon: Daemon, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    if not pytestconfig.getoption("--all-versions"):
        pytest.skip("builds a Space of its own: make test-full")
    page = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    steps = page.partition("`spaces add` gives a name")[2].partition("## 6. A service")[0]
    # The tests' registry has another Space of that name.
    commands = "\n".join(re.findall(r"```sh\n(.*?)```", steps, re.DOTALL)).replace("mood", "first-mood")
    commands = commands.replace("spacedock page\n", "spacedock page --print\n")
    env = {**daemon.env, "SPACEDOCK_REDIS_URL": daemon.url, "PATH": f"{BIN}:{daemon.env['PATH']}"}
    env |= {"SPACEDOCK_RUNTIME_DIR": f"{daemon.folder}/run"}
    command = ["bash", "-euc", commands]
    ran = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "positive" in ran.stdout
    results = [json.loads(line) for line in (tmp_path / "first-moods.jsonl").read_text().splitlines()]
    assert sorted(result["output"]["text"] for result in results) == ["negative", "neutral", "positive"]
    assert "/login?code=" in ran.stdout


def test_the_demo_keeps_its_promises(clean_env: dict[str, str]) -> None:
    command = [sys.executable, ROOT / "deploy/demo/demo.py"]
    ran = subprocess.run(command, env=clean_env, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for words in ("SPACE DOCK", "hello world", "positive", "stand-in for SmolLM3"):
        assert words in ran.stdout
