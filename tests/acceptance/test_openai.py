"""OpenAI's own client against a real daemon, and real Spaces in their containers."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import OpenAI
from tests.acceptance.running import FIXTURES, SPACES, Daemon

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def address(daemon: Daemon) -> tuple[str, str]:
    """The daemon's address and its owner's token."""
    said = json.loads((daemon.folder / "run/http.json").read_text())
    return said["url"], Path(said["token"]).read_text().strip()


@pytest.fixture
def api(address: tuple[str, str]) -> Iterator[OpenAI]:
    url, token = address
    with OpenAI(base_url=f"{url}/v1", api_key=token, max_retries=0) as api:
        yield api


def test_the_example_of_the_page_runs_as_written(daemon: Daemon, address: tuple[str, str]) -> None:
    (script,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/openai.md").read_text(), re.DOTALL)
    env = {**daemon.env, "SPACEDOCK_HTTP": address[0], "SPACEDOCK_TOKEN": address[1]}
    ran = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    first, *models = ran.stdout.splitlines()
    assert first.startswith("positive")
    assert first.endswith("by sentiment")
    assert {"auto tier", "sentiment space"} <= {*models}


def test_a_chat_space_is_told_its_parameters_and_streams(daemon: Daemon, api: OpenAI) -> None:
    daemon.declare("parrot", {"repository": str(SPACES / "g-chat-options"), "category": "chats"})
    ask = {"model": "parrot", "messages": [{"role": "user", "content": "olleh"}]}
    raw = api.chat.completions.with_raw_response.create(**ask, temperature=1.5, max_tokens=3, logit_bias={})  # type: ignore[call-overload]
    assert raw.parse().choices[0].message.content == "A parrot (wild):"
    assert raw.headers["x-spacedock-not-honoured"] == "logit_bias"
    words = [
        chunk.choices[0].delta.content or ""
        for chunk in api.chat.completions.create(**ask, stream=True)  # type: ignore[call-overload]
    ]
    assert "".join(words) == "A parrot (calm): hello"


def test_open_models_find_the_space_for_the_route(api: OpenAI) -> None:
    with (FIXTURES / "hello.wav").open("rb") as file:
        heard = api.audio.transcriptions.create(model="whisper-1", file=file)
    assert "hello" in heard.text
    drawn = api.images.generate(model="dall-e-3", prompt="a small harbour")
    assert drawn.data is not None
    assert base64.b64decode(drawn.data[0].b64_json or "").startswith(b"\x89PNG")
