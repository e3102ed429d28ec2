"""The native API over HTTP, towards a real queue and a worker with a small handler."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis
from tests.door import Door, opened
from tests.integration.http.answers import ENTRY, controls
from tests.integration.queue.workers import Held, advancing, succeeded, working

from spacedock._wire.rpc import Call, OnProgress, Op, Reply
from spacedock._wire.view.tokens import Scope
from spacedock.client import Client
from spacedock.files import payload_of
from spacedock.result import JobResult, Output
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob
from spacedockd.http.native import OPERATIONS, documents
from spacedockd.http.native.documents import document
from spacedockd.http.native.operation import ApiOperation

TEXT = b"0123456789" * 100


@pytest.fixture
async def door(redis_url: str, tmp_path: Path) -> AsyncIterator[Door]:
    async with opened(redis_url, tmp_path) as door:
        yield door


async def sent(door: Door, method: str, path: str, status: int = 200, **how: Any) -> Any:
    async with door.session.request(method, path, **how) as response:
        body = await response.json()
        assert response.status == status, body
        return body


async def test_the_document_is_made_once_when_it_is_asked_for_and_not_by_the_event_loop(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = list[threading.Thread]()

    def noted(operations: Sequence[ApiOperation]) -> dict[str, Any]:
        threads.append(threading.current_thread())
        return document(operations)

    monkeypatch.setattr(documents, "document", noted)
    await sent(door, "GET", "/jobs")
    assert not threads
    first, again = await asyncio.gather(*(sent(door, "GET", "/openapi.json") for _ in range(2)))
    assert first == again == json.loads(json.dumps(document(OPERATIONS)))
    assert len(threads) == 1
    assert threading.main_thread() not in threads


async def test_a_job_is_submitted_and_its_result_waited_for(door: Door, redis_url: str) -> None:
    async with working(redis_url):
        job = await sent(door, "POST", "/jobs", 202, json={"prompt": "hello"})
        assert job["state"] in ("queued", "running", "succeeded")
        result = await sent(door, "GET", f"/jobs/{job['id']}/result", params={"wait": 10})
        assert (result["state"], result["output"]["text"], result["error"]) == ("succeeded", "hello", None)
        assert (await sent(door, "GET", f"/jobs/{job['id']}"))["state"] == "succeeded"
        assert [one["id"] for one in await sent(door, "GET", "/jobs")] == [job["id"]]
        told = await sent(door, "GET", f"/jobs/{job['id']}/provenance")
        assert (told["request"], told["again"]) == ({"prompt": "hello"}, "spacedock run hello")
        assert (told["result"]["id"], told["result"]["output"]["text"]) == (job["id"], None)
        await sent(door, "GET", "/jobs/nowhere/provenance", 404)


async def test_prefer_says_whether_to_wait(door: Door, redis_url: str) -> None:
    held = Held()
    async with working(redis_url, held):
        headers = {"Prefer": "respond-async, wait=1"}
        job = await sent(door, "POST", "/jobs", 202, json={"prompt": "slow"}, headers=headers)
        assert job["state"] == "running"
        assert (await sent(door, "GET", f"/jobs/{job['id']}/result", 202))["state"] == "running"
        held.go.set()
        result = await sent(door, "GET", f"/jobs/{job['id']}/result", params={"wait": 10})
        assert result["output"]["text"] == "slow"
        async with door.session.post("/jobs", json={"prompt": "x"}, headers={"Prefer": "wait=10"}) as one:
            assert one.status == 200
            assert one.headers["Preference-Applied"] == "wait=10"
            assert one.headers["Location"] == f"/jobs/{(await one.json())['id']}"


async def test_the_same_key_is_the_same_job_of_each_token(door: Door, redis_url: str) -> None:
    async with Client(redis_url) as client:
        other = await client.tokens.create("other", Scope.SUBMIT)
    key = {"Idempotency-Key": "order-1"}
    first = await sent(door, "POST", "/jobs", 202, json={"prompt": "a"}, headers=key)
    again = await sent(door, "POST", "/jobs", 202, json={"prompt": "a"}, headers=key)
    theirs = {**key, "Authorization": f"Bearer {other}"}
    another = await sent(door, "POST", "/jobs", 202, json={"prompt": "a"}, headers=theirs)
    assert first["id"] == again["id"] != another["id"]
    for other_body in ({"prompt": "b"}, {"prompt": "a", "space": "mood"}):
        error = (await sent(door, "POST", "/jobs", 422, json=other_body, headers=key))["error"]
        assert error["code"] == "idempotency_key_reused"
    secret = {"Idempotency-Key": "order-2"}
    told = [aiohttp.FormData({"prompt": "hush", "privacy": "true"}) for _ in range(2)]
    for form in told:
        form.add_field("file", TEXT, filename="a.txt")
    ids = [(await sent(door, "POST", "/jobs", 202, data=form, headers=secret))["id"] for form in told]
    assert ids[0] == ids[1]
    await sent(door, "POST", "/jobs", 422, json={"prompt": "loud", "privacy": True}, headers=secret)
    batch = {"jobs": [{"prompt": "a", "idempotency_key": "order-1"}, {"prompt": "b"}]}
    del theirs["Idempotency-Key"]
    assert (await sent(door, "POST", "/batches", 202, json=batch, headers=theirs))["jobs"][0] == another["id"]


async def sizes(job: TakenJob, tell: Emit) -> JobResult:
    """Answer with the files' names and sizes, and give the files back."""
    told = [f"{ref.name}:{ref.size}:{ref.media_type}" for ref in job.request.files]
    said = " ".join([job.request.prompt, json.dumps(job.request.inputs), *told])
    output = Output(text=said, files=job.request.files)
    return succeeded(job).model_copy(update={"output": output})


async def test_files_come_with_a_form_and_go_in_ranges(door: Door, redis_url: str, tmp_path: Path) -> None:
    form = aiohttp.FormData()
    form.add_field("prompt", "look")
    form.add_field("timeout", "20")
    form.add_field("input", "steps=4")
    form.add_field("file", TEXT, filename="../../etc/pass\\wd.txt")
    async with working(redis_url, sizes):
        headers = {"Prefer": "wait=10"}
        result = await sent(door, "POST", "/jobs", data=form, headers=headers)
    assert result["output"]["text"].startswith('look {"steps": "4"}')
    (file,) = result["output"]["files"]
    assert not {"/", "\\"} & {*file["name"]}
    async with door.session.get(f"/files/{file['sha256']}", params={"name": "a.txt"}) as response:
        assert await response.read() == TEXT
        assert response.headers["Content-Type"] == "text/plain"
        assert response.headers["Content-Disposition"] == 'attachment; filename="a.txt"'
    for asked, begin, end in (("0-9", 0, 10), ("990-", 990, 1000), ("-5", 995, 1000), ("5-99999", 5, 1000)):
        span = {"Range": f"bytes={asked}"}
        async with door.session.get(f"/files/{file['sha256']}", headers=span) as response:
            assert response.status == 206
            assert await response.read() == TEXT[begin:end]
            assert response.headers["Content-Range"] == f"bytes {begin}-{end - 1}/1000"
    for none in ("1000-", "-0"):
        span = {"Range": f"bytes={none}"}
        error = await sent(door, "GET", f"/files/{file['sha256']}", 416, headers=span)
        assert error["error"]["code"] == "range"
    for whole in (
        {"Range": "items=0-1"},
        {"Range": "bytes=0-0,2-3"},
        {"Range": "bytes=5-2"},
        {"Range": "bytes=-"},
    ):
        async with door.session.get(f"/files/{file['sha256']}", headers=whole) as response:
            assert (response.status, await response.read()) == (200, TEXT)
    older = {"Range": "bytes=0-1", "If-Range": '"older"'}
    async with door.session.get(f"/files/{file['sha256']}", headers=older) as response:
        assert (response.status, await response.read()) == (200, TEXT)
    assert [*(tmp_path / "state/http-uploads").iterdir()] == []


async def test_large_files_go_by_the_disk_and_leave_nothing_there(door: Door, tmp_path: Path) -> None:
    data = bytes(range(256)) * 4096
    ref = await sent(door, "POST", "/files", 201, data=io.BytesIO(data), params={"name": "a.bin"})
    for span, begin in (({}, 0), ({"Range": "bytes=700000-"}, 700_000)):
        async with door.session.get(f"/files/{ref['sha256']}", headers=span) as response:
            assert await response.read() == data[begin:]
    async with door.session.head(f"/files/{ref['sha256']}") as response:
        assert response.headers["Content-Length"] == str(len(data))
    assert [*(tmp_path / "state/http-uploads").iterdir()] == []


async def test_a_client_that_hangs_up_leaves_its_job_going_on(door: Door, redis_url: str) -> None:
    held = Held()
    async with working(redis_url, held), Client(redis_url) as client:
        waits = {"Prefer": "wait=60"}
        asked = asyncio.create_task(sent(door, "POST", "/jobs", json={"prompt": "x"}, headers=waits))
        job_id = await held.began.get()
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        held.go.set()
        assert (await client.result(job_id)).succeeded


async def test_a_file_is_stored_ahead_and_named_by_its_digest(door: Door, redis_url: str) -> None:
    ref = await sent(door, "POST", "/files", 201, data=TEXT, params={"name": "notes.txt"})
    assert (ref["sha256"], ref["size"]) == (hashlib.sha256(TEXT).hexdigest(), 1000)
    async with working(redis_url, sizes):
        body = {"prompt": "", "files": [ref]}
        result = await sent(door, "POST", "/jobs", json=body, headers={"Prefer": "wait=10"})
    assert "notes.txt:1000" in result["output"]["text"]
    unknown = {**ref, "sha256": "0" * 64}
    await sent(door, "POST", "/jobs", 400, json={"files": [unknown]})
    for bad in ({"path": "/etc/passwd"}, "/etc/passwd", {**ref, "name": "../x"}):
        await sent(door, "POST", "/jobs", 400, json={"files": [bad]})


async def test_a_private_job_shares_no_file_and_is_read_once(door: Door, redis_url: str) -> None:
    vaults: list[str | None] = []

    async def look(job: TakenJob, tell: Emit) -> JobResult:
        vaults.extend(ref.vault for ref in job.request.files)
        return succeeded(job)

    form = aiohttp.FormData({"prompt": "secret", "privacy": "true"})
    form.add_field("file", TEXT, filename="a.txt")
    async with working(redis_url, look):
        result = await sent(door, "POST", "/jobs", data=form, headers={"Prefer": "wait=10"})
    assert (result["privacy"], [bool(vault) for vault in vaults]) == (True, [True])
    await sent(door, "GET", f"/jobs/{result['id']}/result", 410)


async def test_a_job_is_cancelled_and_retried(door: Door, redis_url: str) -> None:
    job = await sent(door, "POST", "/jobs", 202, json={"prompt": "later"})
    assert (await sent(door, "DELETE", f"/jobs/{job['id']}"))["state"] == "cancelled"
    again = await sent(door, "POST", f"/jobs/{job['id']}/retry", 202)
    assert (again["state"], again["id"] != job["id"]) == ("queued", True)
    assert (await sent(door, "POST", f"/jobs/{again['id']}/retry", 400))["error"]["code"] == "bad_request"
    for path in ("/jobs/none", "/jobs/none/result", "/jobs/none/events"):
        assert (await sent(door, "GET", path, 404))["error"]["code"] == "job_not_found"


async def test_jobs_are_chosen_by_state_batch_and_labels(door: Door) -> None:
    jobs = [{"prompt": str(n), "labels": {"n": str(n)}} for n in range(3)]
    made = await sent(door, "POST", "/batches", 202, json={"label": "three", "jobs": jobs})
    batch_id = made["batch"]["id"]
    assert made["batch"]["counts"]["queued"] == 3
    found = await sent(door, "GET", "/jobs", params={"batch": batch_id, "label": "n=1"})
    assert [one["id"] for one in found] == [made["jobs"][1]]
    assert len(await sent(door, "GET", "/jobs", params={"state": "queued", "limit": 2})) == 2
    await sent(door, "GET", "/jobs", 400, params={"limit": 0})
    more = await sent(door, "POST", "/batches", 202, json={"id": batch_id, "jobs": jobs[:1]})
    assert more["batch"]["counts"]["queued"] == 4
    cancelled = await sent(door, "DELETE", f"/batches/{batch_id}")
    assert set(cancelled.values()) == {"cancelled"}
    assert len(await sent(door, "POST", f"/batches/{batch_id}/retry", 202)) == 4
    assert [one["label"] for one in await sent(door, "GET", "/batches")] == ["three"]


async def test_who_may_read_submits_nothing(door: Door, redis_url: str) -> None:
    async with Client(redis_url) as client:
        reader = {"Authorization": f"Bearer {await client.tokens.create('r', Scope.READ)}"}
        writer = {"Authorization": f"Bearer {await client.tokens.create('w', Scope.SUBMIT)}"}
    await sent(door, "GET", "/jobs", headers=reader)
    error = await sent(door, "POST", "/jobs", 403, json={"prompt": "x"}, headers=reader)
    assert "needs submit" in error["error"]["message"]
    await sent(door, "POST", "/jobs", 202, json={"prompt": "x"}, headers=writer)
    for doing in ("validate", "pull"):
        await sent(door, "POST", f"/spaces/x/{doing}", 403, headers=writer)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "not JSON"),
        (b'{"prompt": "\\ud800"}', "not JSON"),
        (b'{"prompt": NaN}', "not JSON"),
        (b"[]", "must be a mapping"),
        (b'{"prompt": "x", "promtp": "y"}', "promtp"),
        (b'{"space": "./here"}', "is not a Space"),
        (b'{"prompt": "x", "space": "/etc"}', "is not a Space"),
        (b"[" * 60_000, "lists and objects"),
        (b'{"prompt": "' + b"x" * (2**20 + 2**18) + b'"}', "limit"),
    ],
)
async def test_a_bad_body_is_refused_with_what_is_wrong(door: Door, body: bytes, said: str) -> None:
    headers = {"Content-Type": "application/json"}
    async with door.session.post("/jobs", data=io.BytesIO(body), headers=headers) as response:
        error = (await response.json())["error"]
        assert (response.status in (400, 413), said in error["message"]) == (True, True), error
    assert await sent(door, "GET", "/jobs") == []


async def test_spaces_are_asked_of_a_worker(door: Door, redis_url: str) -> None:
    calls: list[Call] = []

    async def noted(call: Call, redis: Redis, tell: OnProgress) -> Reply:
        calls.append(call)
        return await controls(call, redis, tell)

    async with working(redis_url, controls=noted):
        assert await sent(door, "GET", "/spaces") == {}
        assert await sent(door, "GET", "/spaces/user/mood") == {"id": "user/mood", "here": None, **ENTRY}
        assert await sent(door, "GET", "/spaces/user%2Fmood") == {"id": "user/mood", "here": None, **ENTRY}
        assert (await sent(door, "GET", "/spaces/none", 404))["error"]["code"] == "space_not_found"
        assert (await sent(door, "POST", "/spaces/user/mood/validate", params={"deep": "true"}))["works"]
        assert (await sent(door, "POST", "/spaces/user/mood/pull"))["image"] == "registry.hf.space/mood"
        (endpoint,) = await sent(door, "GET", "/spaces/mood/endpoints")
        assert endpoint["name"] == "/predict"
        for path in ("/spaces/search?q=mood", "/spaces/recommend?task=mood&file=a.png", "/tiers"):
            await sent(door, "GET", path)
    told = [(call.op, call.options) for call in calls[-6:]]
    assert told[0] == (Op.VALIDATE, {"deep": True, "timeout": 120.0})
    assert told[1] == (Op.PULL, {})
    assert told[4][1]["media_types"] == ["image/png"]


async def test_a_stored_page_is_never_served_as_one(door: Door, redis_url: str) -> None:
    payload = payload_of("page.html", b"<script>alert(1)</script>")
    async with Client(redis_url) as client:
        await client.store([payload])
    for name in ("page.html", "a.svg", "a.xhtml", "a.js", "a.pdf", "a", 'x"; y=.html', "a.htm\r\nX: y"):
        async with door.session.get(f"/files/{payload.ref.sha256}", params={"name": name}) as response:
            assert response.status == 200
            assert response.headers["Content-Type"] in ("text/plain", "application/octet-stream")
            assert response.headers["Content-Disposition"].startswith("attachment; ")
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert "sandbox" in response.headers["Content-Security-Policy"]


async def test_a_pipeline_is_run_looked_at_and_cancelled(door: Door, redis_url: str, tmp_path: Path) -> None:
    step = {"space": "reader", "files": "${{ inputs.page }}", "prompt": "read it"}
    pipeline = {"name": "book", "inputs": {"page": "file"}, "steps": {"read": step}}
    page = await sent(door, "POST", "/files", 201, params={"name": "page.png"}, data=b"a page")
    body = {"pipeline": pipeline, "inputs": {"page": page}}
    async with advancing(redis_url):
        run = await sent(door, "POST", "/pipelines/runs", 202, json=body)
        result = await sent(door, "GET", f"/jobs/{run['id']}/result", params={"wait": 10})
        assert result["output"]["data"] == {"read": "read it"}
        run = await sent(door, "GET", f"/pipelines/runs/{run['id']}")
    assert (run["pipeline"], run["state"]) == ("book", "succeeded")
    assert [(one["name"], one["state"], one["total"]) for one in run["steps"]] == [("read", "succeeded", 1)]
    again = await sent(door, "POST", "/pipelines/runs", 202, json=body)
    assert (await sent(door, "DELETE", f"/pipelines/runs/{again['id']}"))["state"] == "cancelled"
    # No file of the host is read for an input.
    (tmp_path / "secret.txt").write_text("secret")
    body["inputs"] = {"page": str(tmp_path / "secret.txt")}
    refused = await sent(door, "POST", "/pipelines/runs", 400, json=body)
    assert "input 'page' of pipeline book is no file" in refused["error"]["message"]


async def test_a_pipeline_that_cannot_run_is_refused_as_a_job_too(door: Door, redis_url: str) -> None:
    steps = {"feel": {"space": "mood", "prompt": "${{ inputs.txt }}"}}
    job = {"pipeline": {"name": "p", "inputs": {"text": "text"}, "steps": steps}, "inputs": {"text": "hi"}}
    for path, body in (("/jobs", job), ("/batches", {"jobs": [job]})):
        refused = (await sent(door, "POST", path, 400, json=body))["error"]["message"]
        assert "steps.feel.prompt: there is no input 'txt': did you mean 'text'?" in refused
    steps["feel"]["prompt"] = "${{ inputs.text }}"
    missing = await sent(door, "POST", "/jobs", 400, json={**job, "inputs": {}})
    assert "pipeline p needs the input 'text'" in missing["error"]["message"]
    async with advancing(redis_url):
        run = await sent(door, "POST", "/jobs", 202, json=job)
        result = await sent(door, "GET", f"/jobs/{run['id']}/result", params={"wait": 10})
    assert result["output"]["data"] == {"feel": "hi"}


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/v1/chat/completions", 405, "POST"),
        ("OPTIONS", "/v1/models", 405, "GET,HEAD"),
        ("PUT", "/v1/files/file-x", 405, "DELETE,GET,HEAD"),
        ("POST", "/v1/responses", 404, None),
    ],
)
async def test_a_route_of_openais_says_which_methods_it_takes(
    door: Door, method: str, path: str, status: int, allow: str | None
) -> None:
    async with door.session.request(method, path) as response:
        assert (response.status, response.headers.get("Allow")) == (status, allow), await response.text()
        code = (await response.json())["error"]["code"]
    assert code == ("unknown_url" if allow is None else "method_not_allowed")


@pytest.mark.parametrize("query", ["stat=failed", "limits=1", "limit=1&limit=2"])
async def test_a_query_that_would_be_ignored_is_refused(door: Door, query: str) -> None:
    error = await sent(door, "GET", f"/jobs?{query}", 400)
    assert "in the query is unknown. Known: state" in str(error) or "'limit' more than once" in str(error)


@pytest.mark.parametrize("name", [".", ".."])
async def test_a_file_that_no_job_could_name_is_refused(door: Door, name: str) -> None:
    error = await sent(door, "POST", "/files", 400, data=b"x", params={"name": name})
    assert error["error"]["code"] == "bad_name"
