"""Gradio's API at the HTTP door: what a call becomes as a job, and what a client hears of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from spacedock.events import Event
from spacedock.files import FileRef, payload_of
from spacedock.result import JobResult, Output, Stage
from spacedock.states import JobState
from spacedockd.http.errors import HttpError
from spacedockd.http.gradio.calls import Progress, path_of, ref_of, request_of
from spacedockd.http.gradio.description import AppDescription, AppEndpoint
from spacedockd.http.gradio.sessions import GradioSession


def slot(name: str, component: str, position: int, **more: Any) -> dict[str, Any]:
    row = {"name": name, "label": name, "component": component, "position": position, "required": True}
    return row | {"default": None, "choices": [], "several": False, "file": False} | more


def endpoint(*inputs: dict[str, Any], outputs: tuple[str, ...] = ("textbox",)) -> AppEndpoint:
    row = {"endpoint": "/go", "inputs": inputs, "outputs": outputs, "visible": True}
    return AppDescription.of("mine", [row]).named("go")


def sent(name: str, data: bytes = b"x") -> tuple[FileRef, dict[str, Any]]:
    """A stored file, and what gradio_client sends in its place."""
    ref = payload_of(name, data).ref
    return ref, {"path": path_of(ref), "orig_name": name, "meta": {"_type": "gradio.FileData"}}


def test_a_call_names_its_files_in_their_places() -> None:
    go = endpoint(slot("Photo", "image", 0, file=True), slot("Pages", "gallery", 1, file=True, several=True))
    (photo, a), (other, b) = sent("a.png", b"1"), sent("a.png", b"2")
    request = request_of("mine", go, [a, [{"image": b, "caption": "two"}, {"image": a, "caption": None}]], {})
    assert request.files == (photo, other.model_copy(update={"name": "1a.png"}))
    pages = [{"image": {"file": "1a.png"}, "caption": "two"}, {"image": {"file": "a.png"}, "caption": None}]
    assert request.inputs == {"Photo": "a.png", "Pages": pages}
    assert (request.endpoint, request.fallback.value, request.tier.value) == ("/go", "none", "heavy")


def test_a_file_at_an_address_is_the_apps_to_fetch() -> None:
    there = {"path": "https://host/a.png", "meta": {"_type": "gradio.FileData"}}
    request = request_of("mine", endpoint(slot("Photo", "image", 0, file=True)), [there], {})
    assert (request.inputs, request.files) == ({"Photo": there}, ())


def test_a_header_lets_others_step_in() -> None:
    assert request_of("mine", endpoint(), [], {"fallback": "spaces"}).fallback.value == "spaces"


def test_inputs_of_one_name_go_to_their_places() -> None:
    go = endpoint(slot("Text", "textbox", 0), slot("Text", "textbox", 2))
    assert request_of("mine", go, ["first", "second"], {}).inputs == {"input_0": "first", "input_2": "second"}


def test_a_file_of_this_machine_cannot_be_named() -> None:
    for path in ("/etc/passwd", "../http-token", f"{'0' * 64}-1/../x", "file:///etc/passwd"):
        with pytest.raises(HttpError, match="no such file"):
            ref_of(path)


def test_a_function_keeps_its_number_when_others_come() -> None:
    row = {"inputs": [], "outputs": [], "visible": True}
    before = AppDescription.of("mine", [row | {"endpoint": "/go"}])
    after = AppDescription.of("mine", [row | {"endpoint": name} for name in ("/go", "/ahead")])
    (number,) = [dependency["id"] for dependency in before.config["dependencies"]]
    assert after.numbered(number).endpoint == "/go"
    with pytest.raises(HttpError, match="it has: /ahead, /go"):
        after.numbered(1)


def test_an_answer_that_outgrows_its_events_is_put_together() -> None:
    progress, whole = Progress("job", endpoint(), ""), "".join(f"word {n} " for n in range(400))
    shown: list[Any] = []
    for end in range(0, len(whole), 70):
        event = Event(job_id="job", stage=Stage.CALL, partial=whole[:end][-1000:])
        shown += [m["output"]["data"] for m in progress.heard(event) if m["msg"] == "process_generating"]
    assert shown[-1] == [[["replace", [], whole[:end]]]]
    result = JobResult(id="job", state=JobState.SUCCEEDED, output=Output(data=[whole]))
    last, completed = progress.ended(result)
    assert last["output"]["data"] == [[["replace", [], whole]]]
    assert completed["output"]["data"] == [whole]


def test_files_of_an_answer_are_named_by_the_door() -> None:
    ref = payload_of("out.png", b"png").ref
    output = Output(data=[{"file": "out.png", "index": 0}, {"file": "theirs.png"}], files=(ref,))
    (message,) = Progress("job", endpoint(), "http://door/spaces/mine").ended(
        JobResult(id="job", state=JobState.SUCCEEDED, output=output)
    )
    file, other = message["output"]["data"]
    assert ref_of(file["path"]) == ref
    assert file["url"] == f"http://door/spaces/mine/gradio_api/file={file['path']}"
    assert other == {"file": "theirs.png"}


async def named(job_id: str) -> str:
    return job_id


async def test_no_call_joins_a_stream_that_is_closing() -> None:
    session = GradioSession()
    await session.join(endpoint(), lambda: named("first"))
    async with session.listening() as calls:
        assert (await anext(calls)).job_id == "first"
        session.over("first")
        with pytest.raises(StopAsyncIteration):
            await anext(calls)
        joining = asyncio.create_task(session.join(endpoint(), lambda: named("second")))
        await asyncio.sleep(0)
        assert not joining.done()
    assert await joining == "second"
    async with session.listening() as calls:
        assert (await anext(calls)).job_id == "second"


async def test_a_stream_stays_open_while_a_call_is_submitted() -> None:
    session, stored = GradioSession(), asyncio.Event()

    async def slowly() -> str:
        await stored.wait()
        return "second"

    await session.join(endpoint(), lambda: named("first"))
    async with session.listening() as calls:
        assert (await anext(calls)).job_id == "first"
        joining = asyncio.create_task(session.join(endpoint(), slowly))
        await asyncio.sleep(0)
        session.over("first")
        stored.set()
        assert (await anext(calls)).job_id == "second"
        await joining


async def test_calls_that_were_given_up_are_not_told_of() -> None:
    session = GradioSession()
    await session.join(endpoint(), lambda: named("given up"))
    session.over("given up")
    await session.join(endpoint(), lambda: named("new"))
    async with session.listening() as calls:
        assert (await anext(calls)).job_id == "new"
        session.over("new")
        session.over("new")
        with pytest.raises(StopAsyncIteration):
            await anext(calls)


async def test_a_later_stream_of_a_client_takes_the_place_of_an_earlier_one() -> None:
    session = GradioSession()
    async with session.listening() as early:
        waiting = asyncio.ensure_future(anext(early))
        await asyncio.sleep(0)
        async with session.listening() as late:
            with pytest.raises(ConnectionResetError):
                await waiting
            await session.join(endpoint(), lambda: named("call"))
            assert (await anext(late)).job_id == "call"
