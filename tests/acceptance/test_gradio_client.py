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
from gradio_client.exceptions import AppError, AuthenticationError, ValidationError
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


def test_its_endpoints_are_described(door: str, token: str) -> None:
    told = connected(door, token, "sentiment").view_api(return_format="dict", print_info=False)
    assert isinstance(told, dict)
    (parameter,) = told["named_endpoints"]["/analyze"]["parameters"]
    assert (parameter["label"], parameter["python_type"]["type"]) == ("Text", "str")


def test_files_go_in_and_come_back(door: str, token: str, tmp_path: Path) -> None:
    (tmp_path / "a note.txt").write_text("hello")
    client = connected(door, token, "echo-file", download_files=str(tmp_path / "got"))
    loud = Path(client.predict(handle_file(str(tmp_path / "a note.txt"))))
    assert (loud.name, loud.read_text()) == ("a note.loud.txt", "HELLO")


def test_an_answer_streams(door: str, token: str) -> None:
    steps = list(connected(door, token, "g-generator").submit("one two three four five six"))
    assert len(steps) > 2
    assert steps[0] in ("one", "one two")
    assert steps[-1] == "one two three four five six"


def test_a_call_can_be_cancelled(door: str, token: str, daemon: Daemon) -> None:
    job = connected(door, token, "g-generator").submit(" ".join("word" for _ in range(600)))
    next(job)
    assert job.cancel()
    daemon.await_event("job.ended", state="cancelled")


def test_a_client_that_goes_away_cancels_its_call(door: str, token: str, daemon: Daemon) -> None:
    script = (
        "import gradio_client as g, sys\n"
        f"job = g.Client('{door}/spaces/g-generator', token='{token}', verbose=False).submit('word ' * 600)\n"
        "next(job); print('streams', flush=True); sys.stdin.read()"
    )
    cancelled = sum(event.get("state") == "cancelled" for event in daemon.events)
    command = [sys.executable, "-W", "ignore", "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"streams\n"
        process.kill()
    daemon.await_event("job.ended", state="cancelled", count=cancelled + 1)


def test_refusals_say_why(door: str, token: str) -> None:
    with pytest.raises(AuthenticationError):
        connected(door, "no-token", "sentiment")
    with pytest.raises(ValueError, match="no Space 'nowhere'"):
        connected(door, token, "nowhere")
    with pytest.raises(AppError, match="out of coffee"):
        connected(door, token, "broken-error").predict("hi")
    client = connected(door, token, "echo-file")
    with pytest.raises(ValidationError, match="takes 1 inputs, and 2 are given"):
        client.predict(None, None)
    with pytest.raises(AppError, match=r"127\.0\.0\.1 failed validation"):
        client.predict(handle_file("http://127.0.0.1:9/of/the/app.txt"))


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
