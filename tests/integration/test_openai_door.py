"""The door as OpenAI's own client and LiteLLM meet it: a real server and queue, and scripted Spaces.

What the Spaces answer is scripted here, so that every kind of answer comes; tests/acceptance asks real ones.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import os
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from redis.asyncio import Redis
from tests.door import Door, opened
from tests.integration.openai_spaces import PICTURE, SPACES, SPOKEN, Spaces, registry
from tests.integration.queue.workers import working

from spacedock._wire.rpc import Call, OnProgress, Op, Reply
from spacedock._wire.view.tokens import Scope
from spacedock.client import Client
from spacedock.files import Payload
from spacedockd.http.intake import ReceivedFile
from spacedockd.http.openai.routes import typed


@pytest.fixture
def spaces() -> Spaces:
    return Spaces()


@pytest.fixture
async def door(redis_url: str, tmp_path: Path, spaces: Spaces) -> AsyncIterator[Door]:
    async with Client(redis_url) as client:
        await client.store([PICTURE, SPOKEN])
    models_as = {"gpt-4o-mini": "chat", "whisper-1": "hear"}
    async with working(redis_url, spaces, registry), opened(redis_url, tmp_path, models_as=models_as) as door:
        yield door


@pytest.fixture
async def api(door: Door) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{door.url}/v1", api_key=door.token) as api:
        yield api


def said(prompt: Any) -> Any:
    return [{"role": "user", "content": prompt}]


async def test_a_chat_says_who_answered_and_what_did_not_count(api: AsyncOpenAI, spaces: Spaces) -> None:
    raw = await api.chat.completions.with_raw_response.create(
        model="gpt-4o-mini", messages=said("hello"), temperature=0.1, logit_bias={"1": 1}, max_tokens=9
    )
    answer = raw.parse()
    assert answer.choices[0].message.content == "you said: hello"
    assert (answer.model, answer.choices[0].finish_reason) == ("chat", "stop")
    assert spaces.asked[0].optional_inputs == {"temperature": 0.1, "max_tokens": 9}
    assert raw.headers["x-spacedock-answered-by"] == "chat"
    assert raw.headers["x-spacedock-not-honoured"] == "logit_bias,max_tokens"
    assert raw.headers["x-spacedock-degraded"] == "false"
    assert answer.model_extra is not None
    assert answer.model_extra["spacedock"]["not_honoured"] == ["logit_bias", "max_tokens"]
    assert raw.headers["x-request-id"] == answer.model_extra["spacedock"]["job_id"]


async def test_a_model_that_nobody_knows_is_auto_and_a_degraded_answer_says_so(api: AsyncOpenAI) -> None:
    raw = await api.chat.completions.with_raw_response.create(model="gpt-9", messages=said("hello"))
    assert raw.headers["x-spacedock-degraded"] == "true"
    assert raw.parse().model_extra["spacedock"]["unknown_model"] == "gpt-9"  # type: ignore[index]


async def test_a_space_that_was_added_just_now_is_asked(
    api: AsyncOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.chat.completions.create(model="chat", messages=said("hello"))
    monkeypatch.setitem(SPACES, "newest", SPACES["chat"])
    answer = await api.chat.completions.create(model="newest", messages=said("hello"))
    assert answer.model == "newest"


async def test_the_synchronous_client_is_answered_as_well(door: Door) -> None:
    def ask() -> str | None:
        with OpenAI(base_url=f"{door.url}/v1", api_key=door.token) as api:
            return (
                api.chat.completions.create(model="chat", messages=said("hello")).choices[0].message.content
            )

    assert await asyncio.to_thread(ask) == "you said: hello"


async def test_a_streamed_chat_comes_as_it_grows_and_ends_with_its_usage(api: AsyncOpenAI) -> None:
    chunks = []
    async with await api.chat.completions.create(
        model="chat", messages=said("count"), stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = [chunk async for chunk in stream]
    words = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert "".join(word for word in words if word) == "one two three"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-2].model_extra["spacedock"]["answered_by"]["name"] == "chat"  # type: ignore[index]
    assert (chunks[-1].choices, chunks[-1].usage is not None) == ([], True)


async def test_pictures_in_messages_reach_the_space(api: AsyncOpenAI, spaces: Spaces) -> None:
    url = "data:image/png;base64," + base64.b64encode(PICTURE.data).decode()
    parts = [{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": {"url": url}}]
    await api.chat.completions.create(model="chat", messages=said(parts))
    assert [ref.sha256 for ref in spaces.asked[0].files] == [PICTURE.ref.sha256]


async def test_a_job_that_fails_is_an_error_that_is_not_tried_again(api: AsyncOpenAI, spaces: Spaces) -> None:
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError, match="it has no such input") as caught:
            await api.chat.completions.create(model="chat", messages=said("broken"), stream=stream)
        assert caught.value.code == "bad_input"
    assert len(spaces.asked) == 2


async def test_a_client_that_hangs_up_cancels_its_job(api: AsyncOpenAI, spaces: Spaces) -> None:
    asking = asyncio.create_task(api.chat.completions.create(model="chat", messages=said("wait")))
    await spaces.began.wait()
    asking.cancel()
    async with asyncio.timeout(60):
        await spaces.stopped.wait()


async def test_a_stream_that_is_left_cancels_its_job(door: Door, spaces: Spaces, redis_url: str) -> None:
    body = {"model": "chat", "messages": said("wait"), "stream": True}
    asking = asyncio.create_task(door.session.post("/v1/chat/completions", json=body).__aenter__())
    await spaces.began.wait()
    asking.cancel()
    async with asyncio.timeout(60):
        await spaces.stopped.wait()


async def test_embeddings_are_a_job_for_each_text(api: AsyncOpenAI, spaces: Spaces) -> None:
    found = await api.embeddings.create(model="embed", input=["a", "bcd"])
    assert [(row.index, row.embedding) for row in found.data] == [(0, [1.0, 0.5]), (1, [3.0, 0.5])]
    assert (await api.embeddings.create(model="embed", input="ab")).data[0].embedding == [2.0, 0.5]
    with pytest.raises(openai.BadRequestError, match="it has no such input"):
        await api.embeddings.create(model="embed", input=["a", "broken"])
    with pytest.raises(openai.BadRequestError, match="'input' is not a text"):
        await api.embeddings.create(model="embed", input=[])
    with pytest.raises(openai.NotFoundError, match="Name a Space as the model"):
        await api.embeddings.create(model="text-embedding-3-small", input="ab")


async def test_pictures_come_as_base64_or_by_their_address(api: AsyncOpenAI, spaces: Spaces) -> None:
    found = await api.images.generate(model="dall-e-3", prompt="a cat", size="1024x1024", n=1)
    assert found.data is not None
    assert base64.b64decode(found.data[0].b64_json or "") == PICTURE.data
    assert spaces.asked[0].optional_inputs == {"width": 1024, "height": 1024, "size": "1024x1024"}
    linked = await api.images.generate(model="draw", prompt="a cat", response_format="url")
    assert linked.data is not None
    assert (linked.data[0].url or "").endswith(f"/files/{PICTURE.ref.sha256}")
    with pytest.raises(openai.InternalServerError, match="without a picture"):
        await api.images.generate(model="chat", prompt="a cat")


async def test_a_picture_is_edited(api: AsyncOpenAI, spaces: Spaces) -> None:
    found = await api.images.edit(model="draw", image=("in.png", b"\x89PNG"), prompt="7")
    assert found.data is not None
    assert found.data[0].b64_json
    assert (spaces.asked[0].prompt, spaces.asked[0].files[0].name) == ("7", "in.png")


async def test_a_recording_is_transcribed_in_three_forms(api: AsyncOpenAI, spaces: Spaces) -> None:
    file = ("a.wav", b"RIFF")
    assert (await api.audio.transcriptions.create(model="whisper-1", file=file)).text == "hello"
    text: Any = await api.audio.transcriptions.create(model="whisper-1", file=file, response_format="text")
    assert text == "hello\n"
    long = await api.audio.transcriptions.create(
        model="u/hear", file=file, response_format="verbose_json", temperature=0.5, language="en"
    )
    assert (long.language, long.duration, (long.segments or [])[0].text) == ("en", 1.5, "hello")
    assert spaces.asked[-1].optional_inputs == {"temperature": 0.5, "language": "en"}
    with pytest.raises(openai.BadRequestError, match="json, text, verbose_json"):
        await api.audio.transcriptions.create(model="whisper-1", file=file, response_format="srt")


@pytest.mark.parametrize("private", [False, True])
async def test_the_files_of_few_forms_are_in_memory_at_once(
    api: AsyncOpenAI, spaces: Spaces, monkeypatch: pytest.MonkeyPatch, private: bool
) -> None:
    read, store, held, most = ReceivedFile.payload, Client.store, set[str](), list[int]()

    async def reads(file: ReceivedFile) -> Payload:
        payload = await read(file)
        held.add(payload.ref.sha256)
        most.append(len(held))
        return payload

    async def stores(client: Client, payloads: Iterable[Payload]) -> None:
        await store(client, payloads := [*payloads])
        held.difference_update(payload.ref.sha256 for payload in payloads)

    monkeypatch.setattr(ReceivedFile, "payload", reads)
    monkeypatch.setattr(Client, "store", stores)
    ours: Any = {"extra_body": {"spacedock": '{"privacy": true}'}} if private else {}
    files = [(f"{n}.wav", b"RIFF%d" % n) for n in range(12)]
    asked = [api.audio.transcriptions.create(model="whisper-1", file=file, **ours) for file in files]
    assert {answer.text for answer in await asyncio.gather(*asked)} == {"hello"}
    assert (len(most), max(most) <= 4, held) == (12, True, set())
    assert {bool(one.files[0].vault) for one in spaces.asked} == {private}


async def test_the_files_in_json_are_in_memory_no_longer_than_until_they_are_stored(
    api: AsyncOpenAI, spaces: Spaces
) -> None:
    data = b"\x89PNG" + bytes(1000)
    url = "data:image/png;base64," + base64.b64encode(data).decode()
    words: Any = [{"type": "text", "text": "wait"}, {"type": "image_url", "image_url": {"url": url}}]
    asking = asyncio.create_task(api.chat.completions.create(model="chat", messages=said(words)))
    async with asyncio.timeout(60):
        await spaces.began.wait()
    assert [one for one in gc.get_objects() if isinstance(one, Payload) and one.data == data] == []
    spaces.held.set()
    assert (await asking).choices[0].message.content
    assert [ref.size for ref in spaces.asked[0].files] == [len(data)]


async def test_a_text_is_spoken(api: AsyncOpenAI) -> None:
    spoken = await api.audio.speech.create(model="tts-1", voice="alloy", input="hello")
    assert (await spoken.aread(), spoken.response.headers["content-type"]) == (SPOKEN.data, "audio/wav")


async def test_models_are_spaces_categories_tiers_and_aliases(api: AsyncOpenAI) -> None:
    rows = {row.id: (row.model_extra or {})["spacedock"] async for row in await api.models.list()}
    assert rows["draw"]["modalities"] == {"input": "text", "output": "image"}
    kinds = {name: rows[name]["kind"] for name in ("auto", "nlp", "chat", "whisper-1")}
    assert kinds == {"auto": "tier", "nlp": "category", "chat": "space", "whisper-1": "alias"}
    assert (await api.models.retrieve("draw")).owned_by == "spacedock"
    with pytest.raises(openai.NotFoundError):
        await api.models.retrieve("none")


async def test_a_full_queue_says_when_to_come_again(api: AsyncOpenAI, door: Door, redis_url: str) -> None:
    async with Redis.from_url(redis_url) as redis:
        await api.chat.completions.create(model="chat", messages=said("hello"))
        await redis.config_set("maxmemory", 1)
        try:
            with pytest.raises(openai.RateLimitError, match="the queue's memory is full") as caught:
                await api.with_options(max_retries=0).chat.completions.create(
                    model="chat", messages=said("hello")
                )
        finally:
            await redis.config_set("maxmemory", 0)
    assert int(caught.value.response.headers["retry-after"]) > 0


async def test_other_routes_and_wrong_requests_are_refused_by_name(api: AsyncOpenAI, door: Door) -> None:
    with pytest.raises(openai.NotFoundError, match="POST /v1/moderations is not served"):
        await api.moderations.create(input="hello")
    with pytest.raises(openai.BadRequestError, match="is not fetched"):
        await api.chat.completions.create(
            model="chat",
            messages=said([{"type": "image_url", "image_url": {"url": "http://example.com/a.png"}}]),
        )
    with pytest.raises(openai.AuthenticationError):
        await api.with_options(api_key="sd-wrong").models.list()


async def test_our_own_options_come_in_extra_body(api: AsyncOpenAI, spaces: Spaces) -> None:
    own = {"inputs": {"steps": 4}, "endpoint": "/chat", "fallback": "none"}
    await api.chat.completions.create(model="chat", messages=said("hi"), extra_body={"spacedock": own})
    asked = spaces.asked[0]
    assert (asked.inputs, asked.endpoint, asked.fallback) == ({"steps": 4}, "/chat", "none")


@pytest.mark.filterwarnings("ignore")
async def test_litellm_is_answered_too(door: Door) -> None:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm

    where = {"api_base": f"{door.url}/v1", "api_key": door.token}
    answer = await litellm.acompletion(model="openai/chat", messages=said("hello"), **where)
    assert answer.choices[0].message.content == "you said: hello"
    words = ""
    async for chunk in await litellm.acompletion(
        model="openai/chat", messages=said("count"), stream=True, **where
    ):
        words += chunk.choices[0].delta.content or ""
    assert words == "one two three"


async def test_a_chat_asks_no_worker_who_draws_or_hears(
    redis_url: str, tmp_path: Path, spaces: Spaces
) -> None:
    async def silent(call: Call, redis: Redis, tell: OnProgress) -> Reply:
        if call.op is Op.RECOMMEND:
            await asyncio.Event().wait()
        return await registry(call, redis, tell)

    async with (
        working(redis_url, spaces, silent),
        opened(redis_url, tmp_path) as door,
        AsyncOpenAI(base_url=f"{door.url}/v1", api_key=door.token) as api,
    ):
        async with asyncio.timeout(60):
            answer = await api.chat.completions.create(model="chat", messages=said("hello"))
            assert answer.model == "chat"


async def test_the_chats_of_a_token_wait_in_its_own_lane(door: Door, redis_url: str) -> None:
    async with Client(redis_url) as client:
        token = await client.tokens.create("ada", Scope.SUBMIT)
        async with AsyncOpenAI(base_url=f"{door.url}/v1", api_key=token) as api:
            await api.chat.completions.create(model="chat", messages=said("hello"))
        assert [job.client for job in await client.jobs()] == ["http-ada"]


@pytest.mark.parametrize("text", ['{"a":' * 3000, "-Infinity", "9" * 5000, "{", "-"])
def test_a_forms_text_is_never_a_fault(text: str) -> None:
    assert isinstance(typed(text), str | int)
