"""Server-sent events out of chunks, whole or cut anywhere, within their limits."""

from __future__ import annotations

from typing import Any

import pytest

from spacedock.result import ErrorKind
from spacedock_worker.adapters.app_json import parsed
from spacedock_worker.adapters.gradio.transport import EventBuffer
from spacedock_worker.errors import StepError

STREAM = 'data: {"n": 1}\r\n\r\n: comment\n\nevent: x\ndata: {"n":\ndata: "é"}\n\ndata: {"n": 3}\n\n'.encode()


def fed(chunks: list[bytes]) -> list[Any]:
    """The events of a stream that may have 100 bytes each."""
    buffer = EventBuffer(100)
    return [parsed(event) for chunk in chunks for event in buffer.feed(chunk)]


def events_of(*chunks: bytes) -> list[object]:
    buffer = EventBuffer(1000)
    return [parsed(event) for chunk in chunks for event in buffer.feed(chunk)]


def test_events_are_the_same_wherever_the_stream_is_cut() -> None:
    whole = [{"n": 1}, {"n": "é"}, {"n": 3}]
    for cut in range(len(STREAM) + 1):
        assert events_of(STREAM[:cut], STREAM[cut:]) == whole
    assert events_of(*(bytes([byte]) for byte in STREAM)) == whole


@pytest.mark.parametrize(
    "chunks",
    [
        [b"data: " + b"1" * 200],
        [b"data: " + b"1" * 200 + b"\n\n"],
        [b"data: 1\n" * 30 + b"\n"],
        [b"data: 1\n"] * 30,
        [b"data: 1\n\n"] * 400,
        [b"data: {\n\n"],
        [b"data: \xff\n\n"],
    ],
)
def test_streams_over_the_limit_or_without_json_are_bad_output(chunks: list[bytes]) -> None:
    with pytest.raises(StepError) as caught:
        fed(chunks)
    assert caught.value.kind is ErrorKind.BAD_OUTPUT


def test_nesting_beyond_the_parser_is_bad_output() -> None:
    with pytest.raises(StepError):
        [parsed(event) for event in EventBuffer(10**6).feed(b"data: " + b"[" * 100_000 + b"\n\n")]


def test_events_before_a_broken_one_are_heard() -> None:
    heard: list[object] = []
    with pytest.raises(StepError):
        heard.extend(map(parsed, EventBuffer(100).feed(b"data: 1\n\ndata: 2\n\ndata: {\n\n")))
    assert heard == [1, 2]


def test_comments_other_fields_and_empty_events_are_none() -> None:
    assert events_of(b": ping\n\n", b"id: 7\nretry: 3\n\n", b"\n\n\n", b"data:1\n\n") == [1]


def test_a_stream_of_many_small_events_has_an_end() -> None:
    with pytest.raises(StepError, match="streamed over"):
        fed([b": heartbeat\n\n"] * 10_000)
