"""The Gradio adapter against a real app in a container, on the newest Gradio 5 and 6."""

from __future__ import annotations

import io
import json
import struct
import wave
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from spacedock.files import Payload, payload_of
from spacedock.result import ErrorKind, Stage
from spacedock_worker.adapters.base import AnswerLimits, AppAnswer, AppCall
from spacedock_worker.adapters.gradio.adapter import GradioAdapter
from spacedock_worker.adapters.gradio.connection import connect
from spacedock_worker.adapters.gradio.direct import LearnedEndpoints
from spacedock_worker.adapters.http import AppHttp
from spacedock_worker.errors import StepError

RunningApp = Callable[[str, str], Awaitable[str]]

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(params=["5.50.0", "6.31.0"])
async def app(request: pytest.FixtureRequest, running_app: RunningApp) -> AsyncIterator[GradioAdapter]:
    adapter = await connected(await running_app("components", request.param))
    yield adapter
    await adapter.aclose()


async def connected(url: str, limits: AnswerLimits | None = None) -> GradioAdapter:
    adapter = await connect(AppHttp(url), LearnedEndpoints(), limits or AnswerLimits())
    assert adapter is not None
    return adapter


async def ask(
    app: GradioAdapter, prompt: str = "", *files: Payload, endpoint: str | None = None, **inputs: Any
) -> AppAnswer:
    return await app.call(AppCall(prompt, files, inputs, endpoint), lambda text, partial=None: None)


def png(width: int, height: int) -> Payload:
    """A picture whose left half is red and whose right half is blue."""
    row = b"\x00" + b"".join(b"\xff\x00\x00" if x < width / 2 else b"\x00\x00\xff" for x in range(width))

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row * height)) + chunk(b"IEND", b"")
    return payload_of("halves.png", PNG_SIGNATURE + body)


def wav(seconds: float) -> Payload:
    out = io.BytesIO()
    with wave.open(out, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(int(8000 * seconds) * 2))
    return payload_of("silence.wav", out.getvalue())


def text_file(name: str, text: str) -> Payload:
    return payload_of(name, text.encode())


async def test_text_goes_in_and_out(app: GradioAdapter) -> None:
    answer = await ask(app, "Ada Łovelace", endpoint="/greet")
    assert answer == AppAnswer("/greet", "Hello, Ada Łovelace!", ["Hello, Ada Łovelace!"])


async def test_choices_a_number_and_a_tick_are_taken_from_strings(app: GradioAdapter) -> None:
    inputs = {"case": "Lower", "mark": "?", "repeat": "2", "strip": "false"}
    answer = await ask(app, " Hi", endpoint="/style", **inputs)
    assert answer.text == " hi? hi?"


async def test_inputs_that_are_not_given_have_their_defaults(app: GradioAdapter) -> None:
    assert (await ask(app, " Hi ", endpoint="/style")).text == "HI!"


async def test_an_unknown_choice_is_refused_with_the_choices(app: GradioAdapter) -> None:
    with pytest.raises(StepError, match="case takes one of upper, lower, as it is") as caught:
        await ask(app, "hi", endpoint="/style", case="title")
    assert caught.value.kind is ErrorKind.BAD_INPUT


async def test_an_unknown_input_is_refused_with_the_names(app: GradioAdapter) -> None:
    with pytest.raises(StepError, match="no input 'size'; its inputs: text, case, mark") as caught:
        await ask(app, "hi", endpoint="/style", size="3")
    assert caught.value.kind is ErrorKind.BAD_INPUT


async def test_an_unknown_endpoint_is_refused_with_the_endpoints(app: GradioAdapter) -> None:
    with pytest.raises(StepError, match=r"(?s)no endpoint /nope.*/greet\(prompt: textbox\)") as caught:
        await ask(app, "hi", endpoint="/nope")
    assert caught.value.kind is ErrorKind.BAD_INPUT


async def test_json_goes_in_and_out(app: GradioAdapter) -> None:
    answer = await ask(app, endpoint="/describe", data='{"a": 1, "b": "x"}')
    assert answer.data == [{"a": "int", "b": "str"}]
    assert json.loads(answer.text or "") == {"a": "int", "b": "str"}


async def test_a_number_goes_in_and_out(app: GradioAdapter) -> None:
    answer = await ask(app, endpoint="/double", number="4")
    assert (answer.text, answer.data) == ("8", [8])


async def test_a_picture_goes_in_and_out(app: GradioAdapter) -> None:
    once = await ask(app, "", png(6, 4), endpoint="/mirror")
    twice = await ask(app, "", *once.files, endpoint="/mirror")
    thrice = await ask(app, "", *twice.files, endpoint="/mirror")
    assert once.files[0].data.startswith(PNG_SIGNATURE)
    assert once.files[0].ref.media_type == "image/png"
    assert (once.text, once.data) == (None, [{"file": once.files[0].ref.name, "index": 0}])
    assert once.files[0].data == thrice.files[0].data != twice.files[0].data


async def test_a_picture_becomes_text(app: GradioAdapter) -> None:
    assert (await ask(app, "", png(6, 4), endpoint="/size")).text == "6 x 4"


async def test_a_gallery_gives_its_pictures_and_captions(app: GradioAdapter) -> None:
    answer = await ask(app, "", png(6, 4), endpoint="/colours")
    names = [file.ref.name for file in answer.files]
    assert len(set(names)) == 3
    assert [item["caption"] for item in answer.data[0]] == ["red", "green", "blue"]
    assert [item["image"] for item in answer.data[0]] == [
        {"file": name, "index": index} for index, name in enumerate(names)
    ]


async def test_a_sound_comes_out(app: GradioAdapter) -> None:
    answer = await ask(app, endpoint="/tone", frequency=440)
    assert answer.files[0].ref.name == "tone.wav"
    with wave.open(io.BytesIO(answer.files[0].data)) as sound:
        assert sound.getnframes() == sound.getframerate() == 8000


async def test_a_sound_becomes_a_number(app: GradioAdapter) -> None:
    assert (await ask(app, "", wav(0.5), endpoint="/duration")).text == "0.5"


async def test_a_file_goes_in_and_out(app: GradioAdapter) -> None:
    answer = await ask(app, "", text_file("list.txt", "a\nb\n"), endpoint="/number_lines")
    assert [(file.ref.name, file.data) for file in answer.files] == [("list-numbered.txt", b"1: a\n2: b\n")]


async def test_several_files_go_in(app: GradioAdapter) -> None:
    files = text_file("one.txt", "1"), text_file("three.txt", "333")
    answer = await ask(app, "", *files, endpoint="/sizes")
    assert answer.data == [{"one.txt": 1, "three.txt": 3}]


async def test_several_files_come_out(app: GradioAdapter) -> None:
    answer = await ask(app, "ab cde", endpoint="/split")
    assert [(file.ref.name, file.data) for file in answer.files] == [
        ("word-1.txt", b"ab"),
        ("word-2.txt", b"cde"),
    ]


async def test_several_outputs_are_lines_of_text(app: GradioAdapter) -> None:
    answer = await ask(app, "a b", endpoint="/several")
    assert answer.data == ["A B", 3, {"words": ["a", "b"]}]
    assert answer.text == 'A B\n3\n{"words":["a","b"]}'


async def test_a_state_starts_empty_and_is_no_output(app: GradioAdapter) -> None:
    answers = [await ask(app, "hi", endpoint="/chat") for _ in range(2)]
    assert [answer.data for answer in answers] == [["1: hi"], ["1: hi"]]


async def test_a_streamed_answer_is_whole_and_tells_its_progress(app: GradioAdapter) -> None:
    told: list[str] = []
    call = AppCall("one two three", endpoint="/count")
    answer = await app.call(call, lambda text, partial=None: told.append(text))
    assert answer.text == "one two three"
    assert list(dict.fromkeys(told)) == ["queue position 1", "running", "answering"]


async def test_an_exception_without_words_is_an_app_error(app: GradioAdapter) -> None:
    with pytest.raises(StepError, match="failed without saying why") as caught:
        await ask(app, "hi", endpoint="/fail")
    assert (caught.value.stage, caught.value.kind) == (Stage.CALL, ErrorKind.APP_ERROR)


async def test_a_file_picks_the_endpoint_that_takes_it(app: GradioAdapter) -> None:
    assert (await ask(app, "", wav(0.25))).endpoint == "/duration"


async def test_inputs_by_name_pick_the_endpoint_that_has_them(app: GradioAdapter) -> None:
    answer = await ask(app, "hi", mark="none")
    assert (answer.endpoint, answer.text) == ("/style", "HI")


async def test_endpoints_that_fit_equally_are_listed(app: GradioAdapter) -> None:
    with pytest.raises(StepError, match=r"(?s)`endpoint`.*/mirror.*/size.*/colours") as caught:
        await ask(app, "", png(2, 2))
    assert caught.value.kind is ErrorKind.BAD_INPUT


async def test_a_file_over_the_limit_is_refused(running_app: RunningApp) -> None:
    bounded = await connected(await running_app("components", "6.31.0"), AnswerLimits(file=100))
    with pytest.raises(StepError, match="over the limit") as caught:
        await ask(bounded, endpoint="/tone")
    await bounded.aclose()
    assert (caught.value.stage, caught.value.kind) == (Stage.OUTPUT, ErrorKind.BAD_OUTPUT)
