"""Bodies that clients send over HTTP: JSON that readers understand alike, and forms that hold nobody up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol

from spacedockd.http.errors import HttpError
from spacedockd.http.form_stream import chunks_of, form_reader, refuse_encoded
from spacedockd.http.intake import json_of
from spacedockd.http.openai.routes import typed

PARTS = 1500


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b'{"a": 1, "a": 2}', "the key 'a' comes twice"),
        (b'{"a": {"b": 1, "b": 1}}', "the key 'b' comes twice"),
        (b"1e400", "the number 1e400 is too large"),
        (b"-1e400", "the number -1e400 is too large"),
        (b"[" + b"9" * 4000 + b"]", "is too large"),
        (b"NaN", "NaN is no number"),
        (b'"\\ud800"', "hex escape"),
        (b"\xff", "utf-8"),
        (b"[" * 10_000 + b"]" * 10_000, "nested too deep"),
        (b"[" * 500 + b"]" * 500, "recursion limit"),
    ],
)
def test_json_that_readers_understand_differently_is_refused(raw: bytes, problem: str) -> None:
    with pytest.raises(HttpError, match=problem) as refused:
        json_of(raw)
    assert (refused.value.status, refused.value.code) == (400, "not_json")


@pytest.mark.parametrize("text", ["1e400", '{"a": 1, "a": 2}', '{"a":' * 5000, "9" * 5000])
def test_a_forms_text_that_is_no_strict_json_stays_a_text(text: str) -> None:
    assert typed(text) == text


def form_of(*parts: bytes, before: bytes = b"") -> web.Request:
    content = StreamReader(BaseProtocol(asyncio.get_running_loop()), 2**24)
    content.feed_data(before + b"".join(b"--XX\r\n" + part + b"\r\n" for part in parts) + b"--XX--\r\n")
    content.feed_eof()
    headers = {"Content-Type": "multipart/form-data; boundary=XX"}
    return cast(web.Request, SimpleNamespace(headers=headers, content=content))


def part(name: str, data: bytes, *more: str) -> bytes:
    head = "\r\n".join([f'Content-Disposition: form-data; name="{name}"', *more])
    return head.encode() + b"\r\n\r\n" + data


async def read(request: web.Request) -> AsyncIterator[tuple[str | None, bytes]]:
    reader = form_reader(request)
    while (found := cast(Any, await reader.next())) is not None:
        refuse_encoded(found)
        yield found.name, b"".join([chunk async for chunk in chunks_of(found)])


async def test_a_form_of_many_parts_lets_others_run() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    others = asyncio.create_task(count())
    found = [name async for name, _ in read(form_of(*(part(f"f{n}", b"x") for n in range(PARTS))))]
    others.cancel()
    assert len(found) == PARTS
    assert turns > PARTS / 20


async def test_a_large_part_comes_whole() -> None:
    data = bytes(range(256)) * 2**13
    assert [one async for one in read(form_of(part("a", data), part("b", b"")))] == [("a", data), ("b", b"")]


async def test_a_form_begins_with_its_boundary() -> None:
    with pytest.raises(HttpError, match="does not begin with its boundary"):
        [one async for one in read(form_of(part("a", b"x"), before=b"hello\r\n" * 1000))]


@pytest.mark.parametrize(
    "header", ["Content-Encoding: gzip", "Content-Transfer-Encoding: base64", "Content-Transfer-Encoding: x"]
)
async def test_a_part_that_nobody_decodes_is_refused(header: str) -> None:
    with pytest.raises(HttpError, match="'a' of the form is encoded") as refused:
        [one async for one in read(form_of(part("a", b"YSBi", header)))]
    assert refused.value.status == 415


@pytest.mark.parametrize("header", ["Content-Encoding: identity", "Content-Transfer-Encoding: binary"])
async def test_a_part_that_says_that_it_is_as_it_is_is_read(header: str) -> None:
    assert [one async for one in read(form_of(part("a", b"x", header)))] == [("a", b"x")]
