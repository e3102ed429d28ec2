"""Files on their way to the app, in the shape that each version takes, and what comes back of them."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from tests.unit.gradio_calls import SEE, ask, failure
from tests.unit.gradio_script import PROTOCOLS, Reply, Script, config, done, speaking

from spacedock.files import payload_of
from spacedock.result import ErrorKind, Stage
from spacedock_worker.adapters.base import AppCall
from spacedock_worker.adapters.gradio.files import in_parts

PICTURE, PAPER = payload_of("a.png", b"PNG"), payload_of("b.txt", b"text")
DATA_URL = "data:image/png;base64," + base64.b64encode(b"PNG").decode()
NEW = tuple(p for p in PROTOCOLS if p != "ws")


def taking(protocol: str, component: str, *answer: Any, **props: Any) -> Script:
    """An app whose one function takes that component and gives a text."""
    components = [{"id": 1, "type": "textbox"}, {"id": 2, "type": component, "props": props}]
    see = {"id": 0, "api_name": "see", "inputs": [2], "outputs": [1]}
    told = config(protocol, components=components, dependencies=[see])
    return Script(config=told).says(done(*answer or ("well",)))


async def sent(script: Script, *files: Any, prompt: str = "") -> Any:
    """What the app was sent as its first input."""
    await ask(script, AppCall(prompt, files, endpoint="/see"))
    [data] = [body["data"] for _, body in script.bodies if "data" in body and "batched" not in body][:1]
    return data[0]


def new_file(name: str, size: int, media: str) -> dict[str, Any]:
    meta = {"_type": "gradio.FileData"}
    return {"path": "/tmp/gradio/a/a.png", "orig_name": name, "size": size, "mime_type": media, "meta": meta}


def old_file(name: str, size: int) -> dict[str, Any]:
    return {"name": "/tmp/gradio/a/a.png", "orig_name": name, "size": size, "data": None, "is_file": True}


@pytest.mark.parametrize("protocol", NEW)
@pytest.mark.parametrize("component", ["image", "file"])
async def test_since_gradio_4_a_file_is_file_data(protocol: str, component: str) -> None:
    assert await sent(taking(protocol, component), PICTURE) == new_file("a.png", 3, "image/png")


async def test_in_gradio_3_a_picture_is_a_data_url_and_is_not_uploaded() -> None:
    script = taking("ws", "image")
    assert await sent(script, PICTURE) == DATA_URL
    assert script.count("/upload") == 0


async def test_in_gradio_3_any_other_file_is_uploaded() -> None:
    script = taking("ws", "file")
    assert await sent(script, PAPER) == old_file("b.txt", 4)
    assert script.count("/upload") == 1


async def test_in_gradio_3_a_picture_to_paint_on_has_an_empty_mask() -> None:
    painted = await sent(taking("ws", "imagemask"), PICTURE)
    assert painted["image"] == DATA_URL
    assert painted["mask"].startswith("data:image/png;base64,")


@pytest.mark.parametrize(
    ("protocol", "shape"), [("ws", old_file("b.txt", 4)), ("sse", new_file("b.txt", 4, "text/plain"))]
)
async def test_several_files_are_a_list(protocol: str, shape: dict[str, Any]) -> None:
    files = await sent(taking(protocol, "file", file_count="multiple"), PAPER, PAPER)
    assert files == [shape, shape]


async def test_a_picture_in_a_gallery_has_a_caption() -> None:
    assert await sent(taking("sse_v3", "gallery"), PICTURE) == [
        {"image": new_file("a.png", 3, "image/png"), "caption": None}
    ]


async def test_a_file_that_is_needed_twice_is_uploaded_once() -> None:
    script = taking("sse_v3", "imageeditor")
    drawing = await sent(script, PICTURE)
    assert drawing["background"] == drawing["composite"] == new_file("a.png", 3, "image/png")
    assert script.count("/upload") == 1


async def test_a_message_has_its_text_and_its_files() -> None:
    message = await sent(taking("sse_v3", "multimodaltextbox"), PICTURE, prompt="what?")
    assert message == {"text": "what?", "files": [new_file("a.png", 3, "image/png")]}


async def test_a_call_without_files_uploads_nothing() -> None:
    script = Script().says(done("well"))
    await ask(script)
    assert script.count("/upload") == 0


@pytest.mark.parametrize(
    ("upload", "kind"),
    [
        (Reply({"detail": "too large"}, 413), ErrorKind.BAD_INPUT),
        (Reply(b"", 302, {"Location": "/elsewhere"}), ErrorKind.APP_ERROR),
        (Reply([]), ErrorKind.BAD_OUTPUT),
        (Reply([{"path": "x"}]), ErrorKind.BAD_OUTPUT),
        (Reply(["a", "b"]), ErrorKind.BAD_OUTPUT),
        (Reply("a"), ErrorKind.BAD_OUTPUT),
        (Reply(None), ErrorKind.BAD_OUTPUT),
    ],
)
async def test_a_refused_upload_names_the_file(upload: Reply, kind: ErrorKind) -> None:
    error = await failure(Script(upload=upload), SEE)
    assert (error.kind, "a.png" in str(error)) == (kind, True)


async def test_an_upload_that_is_no_json_is_bad_output() -> None:
    assert (await failure(Script(upload=Reply(b"<html>")), SEE)).kind is ErrorKind.BAD_OUTPUT


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ([{"role": "user", "content": "a"}], [{"role": "user", "content": [{"type": "text", "text": "a"}]}]),
        ([{"role": "user", "content": [{"type": "text", "text": "a"}]}],) * 2,
        ([["a", "b"]],) * 2,
        ([{"role": "user"}, 3, None],) * 2,
        (None, None),
        ("text", "text"),
        ([], []),
    ],
)
def test_gradio_6_takes_messages_made_of_parts(given: Any, parts: Any) -> None:
    assert in_parts(given) == parts


@pytest.mark.parametrize(
    ("version", "content"), [("5.50.0", "a"), ("6.31.0", [{"type": "text", "text": "a"}])]
)
async def test_a_conversation_is_sent_as_its_version_takes_it(version: str, content: Any) -> None:
    script = taking("sse_v3", "chatbot")
    script.config["version"] = version
    await ask(script, AppCall("", inputs={"input_0": [{"role": "user", "content": "a"}]}, endpoint="/see"))
    assert script.posted("/queue/join")[0]["data"] == [[{"role": "user", "content": content}]]


async def test_files_go_up_and_come_down_through_the_apps_own_routes() -> None:
    picture = {"path": "/tmp/gradio/a/cat.png", "meta": {"_type": "gradio.FileData"}}
    script = Script().says(
        done(picture | {"url": "http://elsewhere.invalid/cat.png", "orig_name": "../c a t.png"})
    )
    answer = await ask(script, SEE)
    assert answer.data == [{"file": "c a t.png", "index": 0}]
    assert [(f.ref.name, f.ref.media_type, f.data) for f in answer.files] == [
        ("c a t.png", "image/png", b"PNG")
    ]
    assert "/gradio_api/file=/tmp/gradio/a/cat.png" in script.seen


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("x?y=1#z/../../config", "/gradio_api/file=x?y=1#z"),
        ("/tmp/ü ñ%2e.png", "/gradio_api/file=/tmp/ü ñ%2e.png"),
        ("/tmp/\ud800.png", "/gradio_api/file=/tmp/?.png"),
        ("@evil.invalid/x", "/gradio_api/file=@evil.invalid/x"),
        ("/tmp/a\x00b", "/gradio_api/file=/tmp/a\x00b"),
    ],
)
async def test_a_path_cannot_leave_the_apps_file_route(path: str, asked: str) -> None:
    script = Script().says(done({"path": path, "meta": {"_type": "gradio.FileData"}}))
    await ask(script, SEE)
    assert next(seen for seen in script.seen if "file=" in seen).startswith(asked)


@pytest.mark.parametrize("status", [302, 403, 404, 500])
async def test_a_file_that_is_not_handed_out_is_bad_output(status: int) -> None:
    picture = {"path": "/tmp/a.png", "meta": {"_type": "gradio.FileData"}}
    gone = Reply(b"", status, {"Location": "http://169.254.169.254/"} if status == 302 else {})
    error = await failure(speaking("sse_v3", done(picture), files=[gone]), SEE)
    assert (error.stage, error.kind) == (Stage.OUTPUT, ErrorKind.BAD_OUTPUT)
    assert f"HTTP {status}" in str(error)
