"""The OpenAPI adapter against real FastAPI apps in containers, built from their own Dockerfiles."""

from __future__ import annotations

import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from spacedock.files import Payload, payload_of
from spacedock.result import ErrorKind
from spacedock_worker.adapters.base import Adapter, AppAnswer, AppCall
from spacedock_worker.adapters.detect import Access, Opener
from spacedock_worker.adapters.openapi.adapter import OpenApiAdapter
from spacedock_worker.adapters.openapi.template import Template
from spacedock_worker.errors import StepError

RunningApp = Callable[[str, str], Awaitable[str]]

RED, CYAN = b"\xff\x00\x00", b"\x00\xff\xff"


@pytest.fixture
async def sentiment(running_app: RunningApp) -> AsyncIterator[Adapter]:
    async for adapter in connected(running_app, "openapi-sentiment"):
        yield adapter


@pytest.fixture
async def image(running_app: RunningApp) -> AsyncIterator[Adapter]:
    async for adapter in connected(running_app, "openapi-image"):
        yield adapter


@pytest.fixture
async def chat(running_app: RunningApp) -> AsyncIterator[Adapter]:
    async for adapter in connected(running_app, "openapi-chat"):
        yield adapter


async def connected(
    running_app: RunningApp, name: str, template: Template | None = None
) -> AsyncIterator[Adapter]:
    connect = Opener().connect_to("", Access(template=template))
    adapter = await connect(await running_app(name, "api"))
    assert isinstance(adapter, OpenApiAdapter)
    yield adapter
    await adapter.aclose()


async def ask(app: Adapter, prompt: str = "", *files: Payload, **inputs: str) -> AppAnswer:
    endpoint = inputs.pop("endpoint", None)
    return await app.call(AppCall(prompt, files, inputs, endpoint), lambda message, partial=None: None)


def png(colour: bytes, size: int = 8) -> Payload:
    """A square picture of one colour."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    pixels = zlib.compress((b"\x00" + colour * size) * size)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return payload_of("my square.png", b"\x89PNG\r\n\x1a\n" + body)


async def test_a_prompt_is_answered_by_the_work_of_the_api(sentiment: Adapter) -> None:
    answer = await ask(sentiment, "what a lovely day")
    assert answer == AppAnswer("/predict", "glad", {"label": "glad", "score": 1})


async def test_an_input_is_given_by_name(sentiment: Adapter) -> None:
    assert (await ask(sentiment, "so traurig", language="de")).text == "sad"
    with pytest.raises(StepError, match="language takes one of en, de"):
        await ask(sentiment, "triste", language="fr")


async def test_an_endpoint_is_called_by_its_path(sentiment: Adapter) -> None:
    answer = await ask(sentiment, "schön", endpoint="/words/{word}", language="de")
    assert answer.data == {"word": "schön", "label": "glad"}


@pytest.mark.parametrize(
    ("prompt", "endpoint", "kind", "words"),
    [
        ("\u200b \u2003 x", "/words/{word}", ErrorKind.APP_ERROR, "is not known"),
        ("break", "/predict", ErrorKind.APP_ERROR, "without saying why .HTTP 500."),
    ],
)
async def test_what_the_app_says_is_the_error(
    sentiment: Adapter, prompt: str, endpoint: str, kind: ErrorKind, words: str
) -> None:
    with pytest.raises(StepError, match=words) as caught:
        await ask(sentiment, prompt, endpoint=endpoint)
    assert caught.value.kind is kind


async def test_a_file_goes_in_and_another_comes_out(image: Adapter) -> None:
    answer = await ask(image, "", png(RED))
    assert (answer.endpoint, answer.data) == ("/negative", {"file": "negative-my square.png", "index": 0})
    assert [(f.ref.media_type, f.data) for f in answer.files] == [("image/png", png(CYAN).data)]


async def test_a_file_goes_in_and_out_as_base64(image: Adapter) -> None:
    answer = await ask(image, "turned", png(RED), endpoint="/negative/json")
    assert (answer.text, answer.data["image_base64"]) == ("turned", {"file": "image.png", "index": 0})
    assert answer.files[0].data == png(CYAN).data


async def test_several_files_go_to_what_takes_several(image: Adapter) -> None:
    first, second = payload_of("a.txt", b"12345"), payload_of("b c.txt", b"123")
    answer = await ask(image, "", first, second)
    assert (answer.endpoint, answer.data) == ("/sizes", {"a.txt": 5, "b c.txt": 3})


async def test_a_file_that_the_app_cannot_read_is_its_error(image: Adapter) -> None:
    with pytest.raises(StepError, match="only PNG pictures"):
        await ask(image, "", payload_of("a.png", b"no picture"))


async def test_a_chat_completion_is_the_assistants_words(chat: Adapter) -> None:
    answer = await ask(chat, "hello there you", max_tokens="2")
    assert (answer.endpoint, answer.text) == ("/v1/chat/completions", "You said: hello there")


async def test_what_the_app_finds_wrong_is_said_by_parameter(chat: Adapter) -> None:
    with pytest.raises(StepError, match="temperature: input should be less than or equal to 2") as caught:
        await ask(chat, "hello", temperature="9")
    assert caught.value.kind is ErrorKind.BAD_INPUT


async def test_a_template_takes_the_descriptions_place(running_app: RunningApp) -> None:
    message = {"role": "user", "content": "{prompt}"}
    body = {"messages": [message], "max_tokens": "{inputs.words}"}
    template = Template("/v1/chat/completions", body=body, response="/choices/0/message/content")
    async for app in connected(running_app, "openapi-chat", template):
        answer = await ask(app, "one two three", words="1")
        assert (answer.text, answer.data) == ("You said: one", "You said: one")


async def test_the_choice_is_explained(sentiment: Adapter) -> None:
    answer = await sentiment.explain(AppCall("lovely"))
    assert answer.endpoint == "/predict"
    assert [row["chosen"] for row in answer.data] == [True, False, False, False]
