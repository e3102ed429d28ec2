"""What the adapter makes of each kind of answer."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from aiohttp import web
from tests.unit.openapi_app import PNG, ask, failure

from spacedock.result import ErrorKind
from spacedock_worker.adapters.base import AppAnswer


@pytest.mark.parametrize(
    ("told", "text"),
    [
        ("well", "well"),
        ({"label": "glad", "score": 1}, "glad"),
        ({"message": "ok", "answer": "42"}, "42"),
        ({"result": {"text": "deep"}}, "deep"),
        ([{"generated_text": "hf"}], "hf"),
        ({"choices": [{"message": {"role": "assistant", "content": "chat"}}]}, "chat"),
        ({"choices": [{"text": "plain"}]}, "plain"),
        ({"score": 0.5, "ü": [1]}, '{"score":0.5,"ü":[1]}'),
        ({"text": None, "label": "x"}, "x"),
        (3, "3"),
        (False, "false"),
        (None, None),
    ],
)
async def test_the_text_is_what_a_person_would_read(told: Any, text: str | None) -> None:
    answer = await ask(told)
    assert (answer.text, answer.data, answer.endpoint) == (text, told, "/do")


@pytest.mark.parametrize("charset", ["utf-8", "latin1", "ISO-8859-1", "windows-1252"])
async def test_an_answer_of_text_is_text_and_data(charset: str) -> None:
    headers = {"Content-Type": f"text/plain; charset={charset}"}
    answer = await ask(web.Response(body="grün".encode(charset), headers=headers))
    assert (answer.text, answer.data) == ("grün", "grün")


@pytest.mark.parametrize("charset", ["punycode", "zlib", "nonsense", "unicode_escape"])
async def test_a_charset_that_is_none_of_a_text_is_utf_8(charset: str) -> None:
    headers = {"Content-Type": f"text/plain; charset={charset}"}
    assert (await ask(web.Response(body="grün".encode(), headers=headers))).text == "grün"


@pytest.mark.parametrize("status", [200, 204])
async def test_no_answer_is_none(status: int) -> None:
    assert await ask(web.Response(status=status, content_type="application/json")) == AppAnswer(
        "/do", None, None
    )


@pytest.mark.parametrize(
    ("headers", "name", "media_type"),
    [
        ({"Content-Type": "image/png"}, "output.png", "image/png"),
        ({"Content-Type": "application/octet-stream"}, "output.png", "image/png"),
        ({"Content-Type": "audio/wav"}, "output.wav", "audio/wav"),
        ({"Content-Type": "x-odd/thing"}, "output.bin", "x-odd/thing"),
        (
            {"Content-Type": "image/png", "Content-Disposition": 'attachment; filename="../../a b.png"'},
            "a b.png",
            "image/png",
        ),
        (
            {"Content-Type": "text/csv", "Content-Disposition": "attachment; filename*=UTF-8''t%C3%A4.csv"},
            "tä.csv",
            "text/csv",
        ),
    ],
)
async def test_bytes_become_a_file(headers: dict[str, str], name: str, media_type: str) -> None:
    answer = await ask(web.Response(body=PNG, headers=headers))
    assert (answer.text, answer.data) == (None, {"file": name, "index": 0})
    assert [(f.ref.name, f.ref.media_type, f.data) for f in answer.files] == [(name, media_type, PNG)]


@pytest.mark.parametrize(
    "said", ["", ";;;", "attachment; filename=", 'attachment; filename*=x"%%', "=?x?b?=", "\u00ff"]
)
async def test_odd_dispositions_are_no_names(said: str) -> None:
    answer = await ask(
        web.Response(body=PNG, headers={"Content-Type": "image/png", "Content-Disposition": said})
    )
    assert len(answer.files) == 1


async def test_base64_in_json_becomes_files() -> None:
    encoded = base64.b64encode(PNG).decode()
    answer = await ask(
        {
            "image_base64": encoded,
            "images": [encoded],
            "view": f"data:image/webp;base64,{encoded}",
            "note": encoded,
        }
    )
    assert answer.data == {
        "image_base64": {"file": "image.png", "index": 0},
        "images": [{"file": "images.png", "index": 1}],
        "view": {"file": "view.webp", "index": 2},
        "note": encoded,
    }
    assert {file.data for file in answer.files} == {PNG}


@pytest.mark.parametrize(
    "odd", ["iVBORw0KGgo=!", "aGVsbG8gd29ybGQ=", "data:image/png;base64,", "data:,x", "data:;base64,%"]
)
async def test_what_decodes_to_nothing_known_stays_a_text(odd: str) -> None:
    answer = await ask({"image": odd})
    assert (answer.data, answer.files) == ({"image": odd}, ())


@pytest.mark.parametrize(
    ("answer", "limits"),
    [
        ("x" * 2000, {"answer": 1000}),
        (web.Response(body=bytes(2000), content_type="image/png"), {"file": 1000}),
        (web.Response(body=b"x" * 2000, content_type="text/plain"), {"answer": 1000}),
        ({"image": [base64.b64encode(PNG).decode()] * 3}, {"files": 100}),
        ({"image": [base64.b64encode(PNG).decode()] * 300}, {}),
        (web.Response(body=b"{", content_type="application/json"), {}),
        (web.Response(body=b"[" * 99 + b"]" * 99, content_type="application/json"), {}),
    ],
)
async def test_answers_over_the_limits_or_broken_are_bad_output(answer: Any, limits: dict[str, int]) -> None:
    assert (await failure(answer, **limits)).kind is ErrorKind.BAD_OUTPUT


EVENTS, LINES = "text/event-stream", "application/x-ndjson"


@pytest.mark.parametrize(
    ("media_type", "body", "text"),
    [
        (EVENTS, 'data: {"token": "one "}\n\ndata: {"token": "two"}\n\ndata: [DONE]\n\n', "one two"),
        (EVENTS, "event: start\ndata: one\r\n\r\n: ping\n\ndata:  two", "one two"),
        (EVENTS, 'data: {"text": "on"}\n\ndata: {"text": "one"}\n\n', "one"),
        (EVENTS, 'data: {"choices": [{"delta": {"role": "assistant"}}]}\n\n', ""),
        (
            EVENTS,
            'data: {"choices": [{"delta": {"content": "h"}}]}\n\n'
            'data: {"choices": [{"delta": {"content": "i"}}]}\n\n',
            "hi",
        ),
        (EVENTS, "data: {broken\n\n", "{broken"),
        (LINES, '{"response": "one ", "done": false}\n{"response": "two", "done": true}\n', "one two"),
        ("text/html", "<html><style>h1 {}</style><h1>HELLO</h1><p>you</p></html>", "HELLO\nyou"),
    ],
)
async def test_a_stream_or_a_page_is_read_as_the_text_that_a_person_sees(
    media_type: str, body: str, text: str
) -> None:
    assert (await ask(web.Response(text=body, content_type=media_type))).text == text


async def test_the_pieces_of_a_stream_are_its_data() -> None:
    body = 'data: {"token": "one"}\n\ndata: two\n\n'
    answer = await ask(web.Response(text=body, content_type=EVENTS))
    assert (answer.text, answer.data) == ("onetwo", [{"token": "one"}, "two"])


async def test_a_long_stream_is_read_whole() -> None:
    body = "".join(f'data: {{"token": "{number} "}}\n\n' for number in range(10_000))
    answer = await ask(web.Response(text=body, content_type=EVENTS))
    assert answer.text == "".join(f"{number} " for number in range(10_000))
