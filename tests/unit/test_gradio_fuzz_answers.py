"""Whatever an app sends in the course of a call: a value or a StepError, nothing else, and soon."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.gradio_calls import Heard
from tests.unit.gradio_json import JSON, LEAVES, TEXTS, fuzz

from spacedock_worker.adapters.app_json import parsed
from spacedock_worker.adapters.gradio.chained import follow_up
from spacedock_worker.adapters.gradio.description import describe
from spacedock_worker.adapters.gradio.events import AppQueueFullError, BadEditError, Editor, Follower
from spacedock_worker.adapters.gradio.output import OutputReading, read_outputs
from spacedock_worker.adapters.gradio.transport import EventBuffer
from spacedock_worker.adapters.http import AppRefusedError
from spacedock_worker.errors import StepError

LIMIT = 2000


@fuzz
@given(st.lists(JSON | st.dictionaries(TEXTS, JSON, max_size=5), max_size=6), st.booleans())
def test_any_messages_are_heard_or_refused(messages: list[Any], edits: bool) -> None:
    follower = Follower(Heard(), ["textbox", "chatbot"], edits)
    for message in messages:
        try:
            outputs = follower.hear(message)
        except (StepError, AppQueueFullError):
            return
        assert outputs is None or isinstance(outputs, list)


KINDS = st.sampled_from(
    ["process_generating", "process_streaming", "progress", "estimation", "log", "process_completed"]
)


@fuzz
@given(st.lists(st.tuples(KINDS, JSON, JSON), max_size=6), st.booleans())
def test_any_fields_of_real_messages_are_heard_or_refused(
    told: list[tuple[str, Any, Any]], edits: bool
) -> None:
    follower = Follower(Heard(), ["textbox"], edits)
    for kind, one, other in told:
        message = {"msg": kind, "rank": one, "log": one, "progress_data": [other], "success": one}
        with suppress(StepError):
            follower.hear(message | {"output": {"data": [one, other] if edits else [other], "error": one}})


@fuzz
@given(JSON, st.lists(st.tuples(TEXTS, st.lists(LEAVES, max_size=3), JSON).map(list), max_size=4) | JSON)
def test_any_edits_are_made_or_refused(value: Any, edits: Any) -> None:
    with suppress(BadEditError):
        Editor().applied(copy.deepcopy(value), edits)


@fuzz
@given(st.lists(st.tuples(st.none() | TEXTS, JSON), max_size=4))
def test_any_outputs_are_read_or_refused(outputs: list[tuple[str | None, Any]]) -> None:
    kinds, data = [kind for kind, _ in outputs], [value for _, value in outputs]
    try:
        reading = read_outputs(kinds, data)
    except StepError:
        return
    assert isinstance(reading, OutputReading)
    json.dumps(reading.data).encode()
    (reading.text or "").encode()
    assert len({f.name for f in reading.files}) == len(reading.files)
    assert not any("/" in f.name or "\\" in f.name or not f.name.isprintable() for f in reading.files)


@fuzz
@given(st.lists(JSON, min_size=2, max_size=2), st.lists(JSON, max_size=3))
def test_any_outputs_are_followed_up_or_not(sent: list[Any], outputs: list[Any]) -> None:
    chat = {"id": 1, "type": "chatbot"}
    user = {"id": 0, "api_name": "user", "inputs": [1, 2], "outputs": [1, 2]}
    bot = {"id": 1, "api_name": "bot", "inputs": [1], "outputs": [1], "trigger_after": 0}
    app = describe({"components": [chat], "dependencies": [user, bot]}, None)
    follow_up(app, app.functions["/user"], dict(enumerate(sent)), outputs)


STREAM_PARTS = st.sampled_from(
    [b"data: ", b"data:", b"\n", b"\r\n", b"\n\n", b": x\n", b'{"msg":"log"}', b"[", b"\xff"]
)


@fuzz
@given(
    st.lists(STREAM_PARTS | st.binary(max_size=20), max_size=40), st.lists(st.integers(1, 30), max_size=40)
)
def test_any_bytes_are_the_same_events_however_they_are_cut(parts: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(parts)
    assert fed([stream]) == fed(list(cut(stream, cuts)))


def cut(stream: bytes, lengths: list[int]) -> list[bytes]:
    chunks, start = [], 0
    for length in lengths:
        chunks.append(stream[start : start + length])
        start += length
    return [*chunks, stream[start:]]


def fed(chunks: list[bytes]) -> tuple[list[Any], bool]:
    """The events of a stream, and whether it was refused in the end."""
    buffer, events = EventBuffer(LIMIT), []
    try:
        for chunk in chunks:
            for event in buffer.feed(chunk):
                events.append(parsed(event))
    except StepError:
        return events, True
    return events, False


@fuzz
@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace")))
def test_any_bytes_are_json_or_refused(body: bytes) -> None:
    with suppress(StepError):
        parsed(body)


@fuzz
@given(st.integers(100, 599), JSON)
def test_any_refusal_has_words_that_can_be_shown(status: int, told: Any) -> None:
    text = str(AppRefusedError(status, told))
    assert text.startswith(f"HTTP {status}")
    assert len(text) < 600
