"""The real gradio_client, pointed at the daemon's HTTP door: it calls Spaces as it calls any other."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client, handle_file
from tests.acceptance.running import Daemon

ROOT = Path(__file__).parent.parent.parent
DEFAULT = "http://127.0.0.1:7788"

# What httpx warns of is gradio_client's business.
pytestmark = pytest.mark.filterwarnings("ignore:Setting per-request cookies:DeprecationWarning")


@pytest.fixture(scope="module")
def token(daemon: Daemon) -> str:
    return (daemon.folder / "state" / "http-token").read_text().strip()


@pytest.fixture(scope="module")
def door(daemon: Daemon) -> str:
    url: str = json.loads((daemon.folder / "run" / "http.json").read_text())["url"]
    return url


def connected(door: str, token: str, space: str, **options: Any) -> Client:
    return Client(f"{door}/spaces/{space}", token=token, verbose=False, analytics_enabled=False, **options)


def test_a_space_that_died_is_replaced_between_two_calls(daemon: Daemon, door: str, token: str) -> None:
    client = connected(door, token, "sentiment")
    assert "positive" in client.predict("I love it", api_name="/analyze")
    ready = [e for e in daemon.events if (e["event"], e.get("space")) == ("container.ready", "sentiment")]
    subprocess.run(["docker", "kill", ready[-1]["container"]], check=True, capture_output=True)
    assert "negative" in client.predict(text="I hate it", api_name="/analyze")
    told = client.view_api(return_format="dict", print_info=False)
    assert isinstance(told, dict)
    (parameter,) = told["named_endpoints"]["/analyze"]["parameters"]
    assert (parameter["label"], parameter["python_type"]["type"]) == ("Text", "str")


def test_files_go_in_and_come_back(door: str, token: str, tmp_path: Path) -> None:
    (tmp_path / "a note.txt").write_text("hello")
    client = connected(door, token, "echo-file", download_files=str(tmp_path / "got"))
    loud = Path(client.predict(handle_file(str(tmp_path / "a note.txt"))))
    assert (loud.name, loud.read_text()) == ("a note.loud.txt", "HELLO")


def test_the_examples_of_its_page_run_as_written(
    door: str, token: str, daemon: Daemon, tmp_path: Path
) -> None:
    page = (ROOT / "docs" / "gradio-client.md").read_text().replace(DEFAULT, door)
    env = {**daemon.env, "SPACEDOCK_TOKEN": token, "HF_HUB_DISABLE_TELEMETRY": "1"}
    said = []
    for kind, code in re.findall(r"```(python|sh)\n(.*?)```", page, re.DOTALL):
        command = [sys.executable, "-W", "ignore", "-c", code] if kind == "python" else ["sh", "-c", code]
        ran = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        said.append(ran.stdout.strip().splitlines()[-1])
    assert said[0].startswith("positive")
    assert said[1:3] == ["HELLO", "one two three four five six"]
    assert said[3].startswith('data: ["positive')
