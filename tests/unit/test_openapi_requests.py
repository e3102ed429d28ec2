"""What the adapter sends for an operation that a document describes."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from tests.unit.openapi_app import CAT, PNG, TEXT, api, failure, sent

from spacedock.files import payload_of
from spacedock_worker.adapters.base import AppCall


def with_file(name: str, **schema: Any) -> Any:
    return api((name, {"type": "string"} | schema))


async def test_a_json_body_has_the_prompt_and_what_was_given() -> None:
    document = api(("text", TEXT), ("size", {"type": "integer", "default": 3}), ("loud", {"type": "boolean"}))
    call = AppCall("hi ü", inputs={"loud": "yes"})
    method, path, body, _ = await sent(document, call)
    assert (method, path, json.loads(body)) == ("POST", "/do", {"text": "hi ü", "loud": True})


async def test_path_and_query_are_encoded() -> None:
    parameters = [
        {"name": "id", "in": "path", "schema": TEXT},
        {"name": "text", "in": "query", "required": True, "schema": TEXT},
        {"name": "tag", "in": "query", "schema": {"type": "array", "items": TEXT}},
    ]
    document = {"paths": {"/x/{id}": {"get": {"parameters": parameters}}}}
    call = AppCall("a&b=c ü", inputs={"id": "../a?b", "tag": ["1", "2"]})
    method, path, body, _ = await sent(document, call)
    assert (method, body) == ("GET", b"")
    assert path == "/x/..%2Fa%3Fb?text=a%26b%3Dc%20%C3%BC&tag=1&tag=2"


async def test_a_form_is_sent_as_one() -> None:
    document = api(("text", TEXT), ("n", {"type": "number"}), media="application/x-www-form-urlencoded")
    assert (await sent(document, AppCall("a b", inputs={"n": "2"})))[2] == b"text=a+b&n=2"


async def test_files_go_into_a_multipart_form_under_their_own_names() -> None:
    binary = {"type": "string", "format": "binary"}
    document = api(
        ("image", binary),
        ("more", {"type": "array", "items": binary}),
        ("text", TEXT),
        media="multipart/form-data",
    )
    other = payload_of("b.txt", b"words")
    _, _, _, fields = await sent(document, AppCall("hi", (CAT, other)))
    assert fields == [
        ("image", "my cät.png", PNG),
        ("more", "b.txt", b"words"),
        ("text", None, b"hi"),
    ]


@pytest.mark.parametrize(
    ("schema", "prefix"), [({}, ""), ({"description": "as a data URL"}, "data:image/png;base64,")]
)
async def test_a_file_in_json_is_base64(schema: Any, prefix: str) -> None:
    _, _, body, _ = await sent(with_file("image_base64", **schema), AppCall("", (CAT,)))
    assert json.loads(body) == {"image_base64": prefix + base64.b64encode(PNG).decode()}


async def test_a_large_file_in_json_is_sent_without_a_warning() -> None:
    large = payload_of("a.png", bytes(3 * 2**20))
    _, _, body, _ = await sent(with_file("image_base64"), AppCall("", (large,)))
    assert len(body) > 4 * 2**20


async def test_a_body_that_is_a_file_is_sent_as_it_is() -> None:
    document = {"paths": {"/do": {"post": {"requestBody": {"required": True, "content": {"image/*": {}}}}}}}
    assert (await sent(document, AppCall("", (CAT,))))[2] == PNG


async def test_a_chat_gets_the_prompt_as_a_message() -> None:
    document = api(("messages", {"type": "array", "items": {"type": "object"}}))
    message = {"role": "user", "content": "hi"}
    assert json.loads((await sent(document))[2]) == {"messages": [message]}
    talk = [{"role": "system", "content": "Be brief"}, message]
    given = AppCall("", inputs={"messages": json.dumps(talk)})
    assert json.loads((await sent(document, given))[2]) == {"messages": talk}


async def test_a_list_of_texts_gets_the_prompt() -> None:
    document = api(("texts", {"type": "array", "items": TEXT}))
    assert json.loads((await sent(document))[2]) == {"texts": ["hi"]}
    assert json.loads((await sent(document, AppCall("", inputs={"texts": ["a", "b"]})))[2]) == {
        "texts": ["a", "b"]
    }


def wrapped(**more: Any) -> Any:
    steps = {"type": "integer", "default": 50}
    within = {"type": "object", "required": ["prompt"], "properties": {"prompt": TEXT, "steps": steps}}
    return api(("input", within | more))


@pytest.mark.parametrize(
    ("call", "body"),
    [
        (AppCall("a cat"), {"prompt": "a cat"}),
        (AppCall("", inputs={"input": {"prompt": "dog", "steps": 3}}), {"prompt": "dog", "steps": 3}),
        (AppCall("", inputs={"input": '{"prompt": "dog"}'}), {"prompt": "dog"}),
    ],
)
async def test_the_only_text_that_an_object_needs_is_the_prompt(call: AppCall, body: Any) -> None:
    assert json.loads((await sent(wrapped(), call))[2]) == {"input": body}


async def test_an_object_that_needs_more_than_a_text_is_given_as_json() -> None:
    error = await failure({}, document=wrapped(required=["prompt", "steps"]), call=AppCall("a cat"))
    assert "input takes a value (json)" in str(error)
