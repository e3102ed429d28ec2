"""OpenAI's own client against a real daemon, and real Spaces in their containers."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from openai.types import Batch
from openai.types.batch_request_counts import BatchRequestCounts
from tests.acceptance.conftest import StartDaemon
from tests.acceptance.listening import Listener, assert_nothing_missed
from tests.acceptance.running import FIXTURES, SPACES, Daemon
from tests.door import free_port

ROOT = Path(__file__).parent.parent.parent


NONE = BatchRequestCounts(completed=0, failed=0, total=0)


def address(daemon: Daemon) -> tuple[str, str]:
    """The daemon's address and its owner's token."""
    said = json.loads((daemon.folder / "run/http.json").read_text())
    return said["url"], Path(said["token"]).read_text().strip()


def client_of(daemon: Daemon) -> OpenAI:
    url, token = address(daemon)
    return OpenAI(base_url=f"{url}/v1", api_key=token, max_retries=0)


@pytest.fixture
def api(daemon: Daemon) -> Iterator[OpenAI]:
    with client_of(daemon) as api:
        yield api


def test_the_example_of_the_page_runs_as_written(daemon: Daemon) -> None:
    (script,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/openai.md").read_text(), re.DOTALL)
    url, token = address(daemon)
    env = {**daemon.env, "SPACEDOCK_HTTP": url, "SPACEDOCK_TOKEN": token}
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


def test_a_language_model_is_told_its_parameters(api: OpenAI) -> None:
    raw = api.chat.completions.with_raw_response.create(
        model="default",
        messages=[{"role": "user", "content": "Tell a story"}],
        max_tokens=5,
        seed=1,
        extra_body={"top_k": 3},
    )
    assert raw.parse().choices[0].finish_reason == "length"
    assert raw.headers["x-spacedock-tier"] == "default"
    assert raw.headers["x-spacedock-not-honoured"] == "top_k"


def test_open_models_find_the_space_for_the_route(api: OpenAI) -> None:
    with (FIXTURES / "hello.wav").open("rb") as file:
        heard = api.audio.transcriptions.create(model="whisper-1", file=file)
    assert "hello" in heard.text
    drawn = api.images.generate(model="dall-e-3", prompt="a small harbour")
    assert drawn.data is not None
    assert base64.b64decode(drawn.data[0].b64_json or "").startswith(b"\x89PNG")


async def test_a_batch_of_500_lines_outlives_a_kill_of_the_daemon_as_do_50_listeners(
    make_daemon: StartDaemon, pytestconfig: pytest.Config
) -> None:
    if not pytestconfig.getoption("--all-versions"):
        pytest.skip("takes a minute: `make test-full` runs it")
    daemon = make_daemon(http__port=str(free_port()))
    listeners = [Listener(daemon) for _ in range(50)]
    names = [f"request-{number}" for number in range(500)]
    async with asyncio.TaskGroup() as group:
        for listener in listeners:
            group.create_task(listener.listen(set(), len(names)))
        await asyncio.gather(*(listener.begun.wait() for listener in listeners))
        batch = await asyncio.to_thread(begin_batch, daemon, names)
        await asyncio.to_thread(daemon.stop, signal.SIGKILL)
        await asyncio.to_thread(daemon.start)
        found = await asyncio.to_thread(results_of, daemon, batch)
    assert sorted(row["custom_id"] for row in found) == sorted(names)
    assert all(row["response"]["body"]["model"] == "sentiment" for row in found)
    assert len({row["response"]["request_id"] for row in found}) == len(names)
    assert_nothing_missed(listeners, len(names))


def begin_batch(daemon: Daemon, names: Sequence[str]) -> str:
    """A batch that asks a Space once for each name, when 50 of its lines are answered."""
    rows = [
        {
            "custom_id": name,
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "sentiment", "messages": [{"role": "user", "content": f"I love {name}"}]},
        }
        for name in names
    ]
    raw = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    with client_of(daemon) as api:
        file = api.files.create(file=("in.jsonl", raw), purpose="batch")
        batch = api.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        await_counts(api, batch.id, 50)
    return batch.id


def results_of(daemon: Daemon, batch_id: str) -> list[Any]:
    """The lines of the batch's output, once it has ended."""
    with client_of(daemon) as api:
        done = await_end(api, batch_id)
        assert (done.status, done.error_file_id) == ("completed", None)
        assert done.output_file_id is not None
        return [json.loads(line) for line in api.files.content(done.output_file_id).text.splitlines()]


def await_counts(api: OpenAI, batch_id: str, completed: int) -> None:
    """Wait until so many lines are answered: clients of this API have nothing but polling."""
    while ((api.batches.retrieve(batch_id).request_counts or NONE).completed) < completed:
        time.sleep(0.1)


def await_end(api: OpenAI, batch_id: str) -> Batch:
    while (batch := api.batches.retrieve(batch_id)).status in ("in_progress", "finalizing"):
        time.sleep(0.1)
    return batch
