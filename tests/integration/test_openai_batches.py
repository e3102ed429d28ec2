"""Files and batches of OpenAI's API, by its own client; the Spaces are scripted, all else is real."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import openai
import pytest
from anthropic.types.messages import MessageBatchIndividualResponse
from openai import AsyncOpenAI
from openai.types import Batch
from openai.types.chat import ChatCompletion
from tests.door import opened
from tests.integration.openai_spaces import PICTURE, SPOKEN, Spaces, registry
from tests.integration.queue.workers import until, working
from tests.integration.test_privacy_commands import Shell
from tests.receiver import receiving

from spacedock.client import Client
from spacedockd.http.settings import WebhookSettings
from spacedockd.webhooks.deliverer import Deliverer

EXAMPLES = Path(__file__).parents[1] / "unit/data"
ROUTE: Any = "/v1/chat/completions"


def lines(*prompts: str, model: str = "chat") -> bytes:
    rows = [
        {
            "custom_id": f"request-{number}",
            "method": "POST",
            "url": ROUTE,
            "body": {"model": model, "messages": [{"role": "user", "content": prompt}], "top_p": 1},
        }
        for number, prompt in enumerate(prompts, 1)
    ]
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


@pytest.fixture
def spaces() -> Spaces:
    return Spaces()


@pytest.fixture
async def queue(redis_url: str, spaces: Spaces) -> AsyncIterator[str]:
    async with Client(redis_url) as client:
        await client.store([PICTURE, SPOKEN])
    async with working(redis_url, spaces, registry):
        yield redis_url


@asynccontextmanager
async def served(queue: str, folder: Path) -> AsyncIterator[AsyncOpenAI]:
    async with (
        opened(queue, folder) as door,
        AsyncOpenAI(base_url=f"{door.url}/v1", api_key=door.token, max_retries=0) as api,
    ):
        yield api


@pytest.fixture
async def api(queue: str, tmp_path: Path) -> AsyncIterator[AsyncOpenAI]:
    async with served(queue, tmp_path) as api:
        yield api


async def begun(api: AsyncOpenAI, raw: bytes, endpoint: Any = ROUTE) -> Batch:
    file = await api.files.create(file=("in.jsonl", raw), purpose="batch")
    return await api.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h")


async def ended(api: AsyncOpenAI, id_: str) -> Batch:
    async def is_over() -> bool:
        return (await api.batches.retrieve(id_)).status in ("completed", "failed", "cancelled", "expired")

    await until(is_over)
    return await api.batches.retrieve(id_)


async def rows(api: AsyncOpenAI, file_id: str | None) -> list[dict[str, Any]]:
    assert file_id is not None
    return [json.loads(line) for line in (await api.files.content(file_id)).text.splitlines()]


async def test_a_batch_of_200_lines_runs_from_end_to_end(api: AsyncOpenAI, spaces: Spaces) -> None:
    prompts = [f"number {number}" for number in range(1, 199)]
    batch = await begun(api, lines(*prompts, "broken", "number 1", model="gpt-4o-mini"))
    assert (batch.status, batch.object) == ("validating", "batch")
    done = await ended(api, batch.id)
    assert (done.status, done.errors) == ("completed", None)
    assert done.request_counts is not None
    assert done.request_counts.model_dump() == {"total": 200, "completed": 199, "failed": 1}
    found = await rows(api, done.output_file_id)
    assert [row["custom_id"] for row in found] == [f"request-{n}" for n in [*range(1, 199), 200]]
    for row in found:
        answer = ChatCompletion.model_validate(row["response"]["body"], strict=True)
        assert (answer.choices[0].message.content or "").startswith("you said: number")
    (error,) = await rows(api, done.error_file_id)
    assert (error["custom_id"], error["response"]["status_code"]) == ("request-199", 400)
    assert len(spaces.asked) == 200


@pytest.mark.parametrize("vendor", ["openai", "anthropic"])
async def test_the_examples_of_the_documentations_run_by_the_command(
    queue: str, tmp_path: Path, vendor: str
) -> None:
    example = EXAMPLES / f"{vendor}-batch.jsonl"
    shell = Shell(queue, tmp_path)
    code, _, err = await shell.run("batch", str(example), "-o", "out.jsonl", "--format", "openai")
    assert code == 3, err
    assert f"{'OpenAI' if vendor == 'openai' else 'Anthropic'}'s batch format" in err
    found = [json.loads(line) for line in (shell.folder / "out.jsonl").read_text().splitlines()]
    asked = [json.loads(line) for line in example.read_text().splitlines()]
    assert [row["custom_id"] for row in found] == [row["custom_id"] for row in asked]
    for row in found:
        if vendor == "openai":
            body = row["response"]["body"]
            said = ChatCompletion.model_validate(body, strict=True).choices[0].message.content
        else:
            result = MessageBatchIndividualResponse.model_validate(row, strict=True).result
            assert result.type == "succeeded"
            said = result.message.content[0].text  # type: ignore[union-attr]
        assert (said or "").startswith("you said: ")


async def test_the_example_of_openais_documentation_runs_unchanged(api: AsyncOpenAI) -> None:
    raw = (EXAMPLES / "openai-batch.jsonl").read_bytes()
    done = await ended(api, (await begun(api, raw)).id)
    assert done.status == "completed"
    found = await rows(api, done.output_file_id)
    assert [row["custom_id"] for row in found] == ["request-1", "request-2"]
    assert found[0]["response"]["body"]["spacedock"]["unknown_model"] == "gpt-3.5-turbo-0125"


async def test_the_pages_curl_lines_run_as_written(queue: str, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/openai.md").read_text()
    upload, create = [line for line in page.splitlines() if line.startswith("curl ")]
    (tmp_path / "requests.jsonl").write_bytes(lines("hello"))
    async with opened(queue, tmp_path) as door:

        async def run(command: str) -> dict[str, Any]:
            env = {**os.environ, "SPACEDOCK_HTTP": door.url, "SPACEDOCK_TOKEN": door.token}
            ran = await asyncio.create_subprocess_shell(
                f"{command} --silent --show-error --fail",
                cwd=tmp_path,
                env=env,
                stdout=asyncio.subprocess.PIPE,
            )
            out, _ = await ran.communicate()
            assert ran.returncode == 0
            return dict(json.loads(out))

        file = await run(upload)
        batch = await run(create.replace("file-…", file["id"]))
    assert (file["purpose"], batch["object"]) == ("batch", "batch")


async def test_a_batch_of_pictures_has_them_in_its_lines(api: AsyncOpenAI) -> None:
    row = {"custom_id": "a", "method": "POST", "url": "/v1/images/generations"}
    raw = json.dumps({**row, "body": {"model": "dall-e-3", "prompt": "a cat"}}).encode()
    done = await ended(api, (await begun(api, raw, "/v1/images/generations")).id)
    (found,) = await rows(api, done.output_file_id)
    assert found["response"]["body"]["data"][0]["b64_json"]


async def test_a_file_with_wrong_lines_fails_as_a_whole_and_says_which(
    api: AsyncOpenAI, spaces: Spaces, tmp_path: Path
) -> None:
    secret = {"model": "hear", "file": f"file://{tmp_path}/state/http-token"}
    bad = [
        json.loads(lines("fine")),
        {"custom_id": "request-1", "url": ROUTE, "body": json.loads(lines("twice"))["body"]},
        {"custom_id": "c", "url": "/v1/audio/transcriptions", "body": secret},
        {"custom_id": "d", "url": "/v1/responses", "body": {}},
        {"prompt": "not a request", "file": "/etc/passwd"},
        {**json.loads(lines("mine")), "custom_id": "f"},
    ]
    bad[-1]["body"]["spacedock"] = {"privacy": True}
    raw = "".join(f"{json.dumps(row)}\n" for row in bad).encode() + b"{broken\n"
    done = await ended(api, (await begun(api, raw)).id)
    assert done.status == "failed"
    assert done.errors is not None
    assert [error.line for error in done.errors.data or ()] == [2, 3, 4, 5, 6, 7]
    said = " ".join(error.message or "" for error in done.errors.data or ())
    assert "also that of line 1" in said
    assert "files of this machine are not read" in said
    assert str(tmp_path) not in said.replace(f"file://{tmp_path}/state/http-token", "")
    assert spaces.asked == []


async def test_an_empty_file_fails_without_telling_where_it_lies(api: AsyncOpenAI, tmp_path: Path) -> None:
    done = await ended(api, (await begun(api, b"\n")).id)
    (error,) = (done.errors.data if done.errors else None) or ()
    assert done.status == "failed"
    assert (error.message or "").startswith("the input file")
    assert str(tmp_path) not in (error.message or "")


async def test_a_file_stays_while_its_batch_runs(api: AsyncOpenAI, spaces: Spaces) -> None:
    batch = await begun(api, lines("wait"))
    await spaces.began.wait()
    with pytest.raises(openai.ConflictError, match="a batch reads the file"):
        await api.files.delete(batch.input_file_id)
    spaces.held.set()
    assert (await ended(api, batch.id)).status == "completed"
    assert (await api.files.delete(batch.input_file_id)).deleted


async def test_a_cancelled_batch_keeps_what_was_answered(api: AsyncOpenAI, spaces: Spaces) -> None:
    batch = await begun(api, lines("one", "wait", "two"))
    await spaces.began.wait()
    assert (await api.batches.cancel(batch.id)).status == "cancelling"
    done = await ended(api, batch.id)
    assert (done.status, spaces.stopped.is_set()) == ("cancelled", True)
    assert done.request_counts is not None
    assert done.request_counts.total == 3
    gone = {row["custom_id"]: row["error"] for row in await rows(api, done.error_file_id)}
    assert gone["request-2"]["code"] == "batch_cancelled"
    with pytest.raises(openai.ConflictError, match="is cancelled already"):
        await api.batches.cancel(batch.id)


async def test_a_batch_goes_on_after_a_restart_and_asks_no_line_twice(
    queue: str, spaces: Spaces, tmp_path: Path
) -> None:
    async with served(queue, tmp_path) as api:
        batch = await begun(api, lines("one", "wait", "two", "three"))
        await spaces.began.wait()
    spaces.held.set()
    async with served(queue, tmp_path) as api:
        done = await ended(api, batch.id)
        assert done.status == "completed"
        assert [row["custom_id"] for row in await rows(api, done.output_file_id)] == [
            f"request-{number}" for number in range(1, 5)
        ]
    assert sorted(asked.prompt for asked in spaces.asked) == ["one", "three", "two", "wait"]


async def test_a_batch_that_is_too_late_expires_with_what_it_has(
    queue: str, spaces: Spaces, tmp_path: Path
) -> None:
    async with served(queue, tmp_path) as api:
        batch = await begun(api, lines("one", "wait"))
        await spaces.began.wait()
    (record,) = (tmp_path / "state/openai/batches").glob("batch_*.json")
    record.write_text(json.dumps({**json.loads(record.read_text()), "expires_at": 1}))
    async with served(queue, tmp_path) as api:
        done = await ended(api, batch.id)
        assert done.status == "expired"
        codes = {row["custom_id"]: row["error"]["code"] for row in await rows(api, done.error_file_id)}
        assert codes["request-2"] == "batch_expired"


async def test_files_are_listed_fetched_and_deleted(api: AsyncOpenAI) -> None:
    first = await api.files.create(file=("a.jsonl", b"{}\n"), purpose="batch")
    second = await api.files.create(file=("b.jsonl", b"[]\n"), purpose="batch")
    assert {file.id async for file in await api.files.list(limit=1)} == {first.id, second.id}
    assert (await api.files.retrieve(first.id)).filename == "a.jsonl"
    assert (await api.files.content(first.id)).text == "{}\n"
    assert (await api.files.delete(first.id)).deleted
    for wrong in (first.id, "file-..%2f..%2fhttp-token", "x"):
        with pytest.raises(openai.NotFoundError):
            await api.files.content(wrong)
    with pytest.raises(openai.BadRequestError, match="purpose=batch"):
        await api.files.create(file=("a.jsonl", b"{}\n"), purpose="fine-tune")


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"endpoint": "/v1/responses"}, "cannot be in a batch"),
        ({"completion_window": "1h"}, "completion_window is '24h'"),
        ({"input_file_id": "file-none"}, "there is no file"),
        ({"metadata": {str(n): "x" for n in range(17)}}, "metadata is up to 16"),
    ],
)
async def test_a_batch_that_cannot_be_is_refused(api: AsyncOpenAI, wrong: Any, problem: str) -> None:
    file = await api.files.create(file=("a.jsonl", lines("one")), purpose="batch")
    right: Any = {"input_file_id": file.id, "endpoint": ROUTE, "completion_window": "24h"}
    with pytest.raises(openai.APIStatusError, match=problem):
        await api.batches.create(**{**right, **wrong})
    assert [batch async for batch in await api.batches.list()] == []


async def test_a_webhook_tells_that_a_batch_has_ended(api: AsyncOpenAI, queue: str) -> None:
    allowed = WebhookSettings(allow=(ip_network("127.0.0.0/8"),))
    async with receiving() as receiver, Client(queue) as client:
        callback = {"callback": receiver.url}
        for raw in (lines("a"), b"rubbish"):
            file = await api.files.create(file=("in.jsonl", raw), purpose="batch")
            await api.batches.create(
                input_file_id=file.id, endpoint=ROUTE, completion_window="24h", extra_body=callback
            )
        sending = asyncio.create_task(Deliverer(queue, allowed).run())
        came = [await receiver.next(await client.webhooks.secret()) for _ in range(2)]
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        with pytest.raises(openai.BadRequestError, match="not an address"):
            await api.batches.create(
                input_file_id=file.id, endpoint=ROUTE, completion_window="24h", extra_body={"callback": "x"}
            )
    told = {one["type"]: (await api.batches.retrieve(one["data"]["id"])).status for one in came}
    assert told == {"batch.completed": "completed", "batch.failed": "failed"}


async def test_a_batch_is_cancelled_before_its_file_was_looked_at(api: AsyncOpenAI) -> None:
    batch = await begun(api, b"\xff\xfe no text")
    await api.batches.cancel(batch.id)
    assert (await ended(api, batch.id)).status == "cancelled"


@pytest.mark.parametrize("limit", ["\u00b2", "0", "-1", "9" * 5000, "x"])
async def test_a_limit_that_is_none_is_refused(api: AsyncOpenAI, limit: str) -> None:
    with pytest.raises(openai.BadRequestError, match="limit is a number from 1 to 100"):
        await api.files.list(extra_query={"limit": limit})


async def test_a_batch_is_called_by_its_files_name_in_lists(api: AsyncOpenAI, queue: str) -> None:
    batch = await begun(api, lines("one"))
    await ended(api, batch.id)
    async with Client(queue) as client:
        assert [one.label for one in await client.batches()] == ["in.jsonl"]


async def test_a_list_goes_both_ways_and_never_begins_anew(api: AsyncOpenAI) -> None:
    made = [(await api.files.create(file=(f"{n}.jsonl", b"{}"), purpose="batch")).id for n in range(3)]
    forth = [one.id async for one in api.files.list(limit=1, order="asc")]
    back = [one.id async for one in api.files.list(limit=2, order="desc")]
    assert {*forth} == {*made}
    assert forth == back[::-1]
    for wrong in ({"after": "file-none"}, {"order": "up"}):
        with pytest.raises(openai.BadRequestError):
            await api.files.list(**wrong)


async def test_what_a_file_or_a_batch_would_ignore_is_refused(api: AsyncOpenAI) -> None:
    ends = {"anchor": "created_at", "seconds": 3600}
    with pytest.raises(openai.BadRequestError, match="expires_after"):
        await api.files.create(file=("a.jsonl", b"{}"), purpose="batch", expires_after=ends)
    file = await api.files.create(file=("a.jsonl", b"{}"), purpose="batch")
    batch = {"input_file_id": file.id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    for wrong in ({"output_expires_after": ends}, {"metadata": {"a": "b" * 513}}):
        with pytest.raises(openai.BadRequestError, match=min(wrong)):
            await api.batches.create(**batch, **wrong)
