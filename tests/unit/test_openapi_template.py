"""Requests that the registry gives instead of a document."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from tests.unit.openapi_app import CAT, PNG, ask, failure, sent

from spacedock.result import ErrorKind
from spacedock_worker.adapters.base import AppCall
from spacedock_worker.adapters.openapi.template import Template


async def test_a_template_needs_no_document() -> None:
    template = Template(
        "/run/{inputs.model}", body={"q": "Say: {prompt}", "n": "{inputs.n}"}, response="/out/0"
    )
    call = AppCall("hi", inputs={"model": "a/b", "n": "3"})
    method, path, body, _ = await sent(None, call, Template("/run/{inputs.model}", body=template.body))
    assert (method, path, json.loads(body)) == ("POST", "/run/a%2Fb", {"q": "Say: hi", "n": 3})
    answer = await ask({"out": ["this", "that"]}, None, call, template)
    assert (answer.endpoint, answer.text, answer.data) == ("/run/{inputs.model}", "this", "this")


async def test_a_template_sends_files_as_base64_or_in_a_form() -> None:
    call = AppCall("hi", (CAT,))
    as_text = Template("/see", body={"image": "{file.base64}", "ask": "{prompt}"})
    assert json.loads((await sent(None, call, as_text))[2])["image"] == base64.b64encode(PNG).decode()
    as_file = Template("/see", body={"image": "{file}", "ask": "{prompt}"}, encoding="multipart")
    assert (await sent(None, call, as_file))[3] == [("image", "my cät.png", PNG), ("ask", None, b"hi")]
    several = Template("/see", body={"images": "{files}"}, encoding="multipart")
    _, _, _, fields = await sent(None, AppCall("", (CAT, CAT)), several)
    assert [name for name, _, _ in fields] == ["images", "images"]


async def test_a_template_may_ask_by_get() -> None:
    method, path, body, _ = await sent(None, AppCall("a b&c"), Template("/ask?q={prompt}", method="GET"))
    assert (method, path, body) == ("GET", "/ask?q=a%20b%26c", b"")


async def test_what_a_template_needs_is_asked_for() -> None:
    error = await failure(
        "ok", document=None, template=Template("/run", body={"n": "{inputs.n}", "q": "{prompt}"})
    )
    assert (error.kind, "n needs a value" in str(error)) == (ErrorKind.BAD_INPUT, True)


async def test_a_pointer_to_nothing_says_what_is_there() -> None:
    template = Template("/run", body={"q": "{prompt}"}, response="/out/text")
    error = await failure({"out": {"words": 1}}, document=None, template=template)
    assert (error.kind, str(error)) == (
        ErrorKind.BAD_OUTPUT,
        "the app's answer has nothing at /out/text: /out has words",
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"path": "run"}, "must begin with /"),
        ({"path": "/", "method": "DELETE"}, "must be one of GET, PATCH, POST, PUT"),
        ({"path": "/", "encoding": "xml"}, "must be one of form, json, multipart"),
        ({"path": "/", "encoding": "form", "body": "{prompt}"}, "must name the fields"),
        ({"path": "/", "body": ["{input.x}"]}, "no placeholder {input.x}"),
        ({"path": "/", "body": "{file}"}, "multipart"),
        ({"path": "/", "body": {"a": "x {file}"}, "encoding": "multipart"}, "multipart"),
        ({"path": "/", "response": "out"}, "must begin with /"),
    ],
)
def test_a_template_that_cannot_be_sent_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        Template(**fields)
