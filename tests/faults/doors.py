"""Every place where something that others wrote is read, as one function of bytes."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from tests.unit.test_openai_rubbish import MODELS

from spacedock._wire import wire
from spacedock._wire.rpc import Call
from spacedock.batching.sources.row import SourceOptions
from spacedock.batching.sources.source import open_source
from spacedock.errors import SpacedockError
from spacedock.openai.model_names import ApiRoute
from spacedock.openai.translation import parse_body
from spacedock.pipelines.reading import read_pipeline
from spacedock.prepare import request_of
from spacedock.result import JobResult, Timings
from spacedock.states import JobState
from spacedock_worker.adapters import offload
from spacedock_worker.adapters.app_json import parsed
from spacedock_worker.adapters.base import AnswerLimits, AppAnswer
from spacedock_worker.adapters.command import answer_of
from spacedock_worker.adapters.gradio.description import describe
from spacedock_worker.adapters.gradio.events import AppQueueFullError, Follower
from spacedock_worker.adapters.gradio.output import read_outputs
from spacedock_worker.adapters.gradio.transport import EventBuffer
from spacedock_worker.adapters.openapi.description import describe as describe_api
from spacedock_worker.adapters.openapi.reading import _from_json
from spacedock_worker.containers.docker.task import Captured, Completed
from spacedock_worker.errors import StepError
from spacedock_worker.images.oci.client import _MOST_NESTS
from spacedock_worker.images.oci.manifest import Platform, read_manifest, read_platforms
from spacedock_worker.images.space_card import read_card
from spacedock_worker.jobs.handler import output_of
from spacedock_worker.models.chat import Completion
from spacedock_worker.models.listing import Listing
from spacedock_worker.queue.job_store import readable_request
from spacedock_worker.queue.outcome import on_the_wire
from spacedock_worker.registry.reader import Reader
from spacedock_worker.state.space_lock import read_lock
from spacedockd.http.intake import json_of
from spacedockd.http.native.jobs import _job

MB = 2**20
_LIMITS = AnswerLimits()


@dataclass(frozen=True, slots=True)
class Door:
    """One place: what is read there by right (`seeds`), at most how many bytes, and how it is refused."""

    name: str
    read: Callable[[bytes], Awaitable[object] | object]
    seeds: tuple[bytes, ...]
    most: int
    refusals: tuple[type[Exception], ...] = (SpacedockError,)


def _answered(answer: AppAnswer) -> None:
    """As the worker goes on with an answer, until its bytes for Redis."""
    done = JobResult(id="j", state=JobState.SUCCEEDED, output=output_of(answer), timings=Timings())
    on_the_wire(done)


async def _gradio(raw: bytes) -> None:
    message = await offload.read(parsed, raw)
    follower = Follower(lambda text, partial=None: None, ["json"])
    outputs = follower.hear(message)
    if outputs is None:
        return
    kinds = cycle(("dataframe", "chatbot", "html", "highlightedtext", "nativeplot"))
    reading = await offload.read(read_outputs, [*islice(kinds, len(outputs))], outputs, ())
    _answered(AppAnswer("/predict", reading.text, reading.data, ()))


async def _stream(raw: bytes) -> None:
    for event in EventBuffer(_LIMITS.answer).feed(raw):
        await offload.read(parsed, event)


async def _openapi(raw: bytes) -> None:
    _answered(await offload.read(_from_json, "/predict", raw, _LIMITS, None))


async def _page(raw: bytes) -> None:
    await offload.read(describe, await offload.read(parsed, raw), None)


async def _api(raw: bytes) -> None:
    await offload.read(describe_api, await offload.read(parsed, raw))


def _program(raw: bytes) -> None:
    _answered(answer_of(Completed(0, stdout=Captured(raw))))


def _call(raw: bytes) -> None:
    wire.decode_bounded(Call, raw, wire.MAX_CALL_BYTES)


def _openai(raw: bytes) -> None:
    asked = parse_body(ApiRoute.CHAT, json_of(raw), MODELS)
    request_of({**asked.fields, "files": tuple(one.ref for one in asked.payloads)}, [*asked.payloads])


def _registry(raw: bytes) -> None:
    Reader(Path("registry.yaml")).read(raw.decode(errors="replace"))


def _pipeline(raw: bytes) -> None:
    with tempfile.NamedTemporaryFile(suffix=".yaml") as file:
        file.write(raw)
        file.flush()
        read_pipeline(Path(file.name))


def _batch(raw: bytes) -> None:
    for _ in open_source("-", SourceOptions(), io.BytesIO(raw)).lines():
        pass


def _image_registry(raw: bytes) -> None:
    # More of them the worker does not take.
    if raw.count(b"[") + raw.count(b"{") > _MOST_NESTS:
        return
    read_platforms(raw)
    read_manifest(raw, Platform("linux", "amd64"))


def _model(raw: bytes) -> None:
    said = Completion.model_validate_json(raw)
    _ = said.text, said.thoughts, said.refusal, said.wants_tools, said.cut_off


def _json(*values: Any) -> tuple[bytes, ...]:
    return tuple(json.dumps(value).encode() for value in values)


_DIGEST = "sha256:" + "0" * 64
_ENTRY = {"id": "user/space", "hub_id": "user/space", "category": "nlp", "memory": "2GB", "calls": 2}
_JOB = {"prompt": "hello", "space": "sentiment", "inputs": {"a": 1}, "labels": {"x": "y"}, "timeout": 5}
_CHAT = {"model": "space", "messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]}
_PAGE = {
    "version": "5.50.0",
    "protocol": "sse_v3",
    "components": [{"id": 1, "type": "textbox", "props": {"choices": [["a", 1]]}}],
    "dependencies": [{"api_name": "say", "inputs": [1], "outputs": [1], "targets": [[1, "submit"]]}],
}  # fmt: skip
_DONE = {"msg": "process_completed", "success": True, "output": {"data": [{"headers": ["a"], "data": [[1]]}]}}
_API = {
    "openapi": "3.1.0",
    "paths": {"/say": {"post": {
        "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/A"}}}},
        "responses": {"200": {"content": {"application/json": {"schema": {"type": "string"}}}}},
    }}},
    "components": {"schemas": {"A": {"type": "object", "properties": {"text": {"type": "string"}}}}},
}  # fmt: skip
_MANIFEST = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.oci.image.index.v1+json",
    "config": {"digest": _DIGEST},
    "layers": [{"size": 5}],
    "manifests": [{"digest": _DIGEST, "platform": {"os": "linux", "architecture": "amd64"}}],
}  # fmt: skip
_SAID = {"model": "m", "choices": [{"message": {"content": "hi", "reasoning": "x"}, "finish_reason": "stop"}]}
_LOCKED = {"version": 1, "spaces": {"s": {"image": "a:b", "digest": _DIGEST}}}
_RUN = {"steps": {"a": {"space": "s", "prompt": "${{ inputs.x }}"}}, "inputs": {"x": {"type": "text"}}}
_CARD = b"---\ntitle: a\nsdk: gradio\nsdk_version: 5.1\napp_port: 7860\nhf_oauth: true\n---\n# words\n"
_ROWS = (
    b"prompt,id\nhello,1\n",
    *_json({"prompt": "hello", "id": "1"}, [{"prompt": "a"}]),
    b"a line\nanother\n",
)

_CALL = {"v": 1, "id": "c", "op": "list", "options": {}}
_INLINE = {"text": "hello", "image": "data:image/png;base64,AA=="}
_REFUSED = (SpacedockError, ValidationError)

DOORS = (
    Door("job's body in Redis", readable_request, _json({"v": 1, **_JOB}), wire.MAX_REQUEST_BYTES),
    Door("call in Redis", _call, _json(_CALL), wire.MAX_CALL_BYTES),
    Door("job over HTTP", lambda raw: _job(json_of(raw)), _json(_JOB), wire.MAX_CALL_BYTES, _REFUSED),
    Door("OpenAI's API", _openai, _json(_CHAT), wire.MAX_CALL_BYTES),
    Door("registry.yaml", _registry, (yaml.safe_dump({"spaces": {"s": _ENTRY}}).encode(),), 2**16),
    Door("lock", lambda raw: read_lock(raw.decode(errors="replace")), _json(_LOCKED), MB, (ValueError,)),
    Door("pipeline", _pipeline, (yaml.safe_dump(_RUN).encode(),), 2**16),
    # It is read a line at a time, for as long as there are lines.
    Door("batch", _batch, _ROWS, 2**18),
    Door("image registry's answer", _image_registry, _json(_MANIFEST), MB),
    Door("README of a Space", lambda raw: read_card(raw.decode(errors="replace")), (_CARD,), MB),
    Door("model's answer", _model, _json(_SAID), MB, (ValidationError,)),
    Door("models of a server", Listing.model_validate_json, _json({"data": [{"id": "m"}]}), MB, _REFUSED),
    Door("Gradio's page", _page, _json(_PAGE), 16 * MB),
    Door("Gradio's answer", _gradio, _json(_DONE), 16 * MB, (StepError, AppQueueFullError)),
    Door("app's stream", _stream, (b"data: " + _json(_DONE)[0] + b"\n\n",), 16 * MB),
    Door("OpenAPI document", _api, _json(_API), 16 * MB),
    Door("OpenAPI app's answer", _openapi, _json(_INLINE), 16 * MB),
    Door("program's answer", _program, _json({"a": [1], "b": 1}), 16 * MB),
)
