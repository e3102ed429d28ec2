"""Requests of OpenAI's and Anthropic's batch formats, as they become ours."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from spacedock.errors import BadRequestError
from spacedock.openai.model_names import ApiRoute, ModelNames, NoSpaceForRouteError, UnknownModelError
from spacedock.openai.translation import TranslatedRequest, is_request_line, parse_body, parse_line
from spacedock.request import JobRequest

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PICTURE = "data:image/png;base64," + base64.b64encode(PNG).decode()
MODELS = ModelNames(
    aliases={"gpt-4o-mini": "auto", "whisper-1": "transcribe"},
    spaces={"chat": "chat", "user/chat": "chat", "transcribe": "transcribe", "draw": "draw"},
    categories=frozenset({"nlp"}),
    specialists={ApiRoute.IMAGES: "draw", ApiRoute.TRANSCRIPTIONS: "transcribe"},
)


def chat(content: Any = "Hello", model: str = "chat", **more: Any) -> TranslatedRequest:
    body = {"model": model, "messages": [{"role": "user", "content": content}], **more}
    return parse_body(ApiRoute.CHAT, body, MODELS)


def line(body: Any, url: str = "/v1/chat/completions", **more: Any) -> dict[str, Any]:
    return {"custom_id": "a", "method": "POST", "url": url, "body": body, **more}


def refusal(row: dict[str, Any], models: ModelNames = MODELS, directory: Path | None = None) -> str:
    with pytest.raises(BadRequestError) as caught:
        parse_line(row, models, directory)
    return str(caught.value)


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        ("chat", {"space": "chat"}),
        ("user/chat", {"space": "chat"}),
        ("https://huggingface.co/spaces/user/chat", {"space": "chat"}),
        ("spaces/some/other", {"space": "some/other"}),
        ("https://huggingface.co/spaces/some/other", {"space": "some/other"}),
        ("nlp", {"category": "nlp"}),
        ("gpt-4o-mini", {"tier": "auto"}),
        ("fast", {"tier": "fast"}),
        ("whisper-1", {"space": "transcribe"}),
    ],
)
def test_a_model_is_a_space_a_category_a_tier_or_an_alias(model: str, fields: dict[str, str]) -> None:
    meant = MODELS.meant(model, ApiRoute.CHAT)
    assert (meant.fields, meant.known) == (fields, True)


def test_an_unknown_model_is_auto_and_says_so() -> None:
    meant = MODELS.meant("openai/gpt-9", ApiRoute.CHAT)
    assert (meant.fields, meant.known) == ({"tier": "auto"}, False)


def test_an_unknown_model_is_refused_where_models_are_strict() -> None:
    with pytest.raises(UnknownModelError, match="models_as"):
        ModelNames(strict=True).meant("gpt-9", ApiRoute.CHAT)


def test_an_open_model_is_the_space_that_does_what_the_route_asks_for() -> None:
    assert MODELS.meant("dall-e-3", ApiRoute.IMAGES).fields == {"space": "draw"}


@pytest.mark.parametrize(
    ("route", "remedy"), [(ApiRoute.SPEECH, "text-to-speech"), (ApiRoute.EMBEDDINGS, "Name a Space")]
)
def test_a_route_that_no_space_answers_is_refused_with_the_remedy(route: ApiRoute, remedy: str) -> None:
    with pytest.raises(NoSpaceForRouteError, match=remedy):
        MODELS.meant("auto", route)


def test_one_message_is_its_text() -> None:
    assert chat("Hello").fields["prompt"] == "Hello"


def test_instructions_come_before_the_one_message() -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    assert chat(messages=messages).fields["prompt"] == "Be brief.\n\nHello"


def test_turns_are_told_apart_by_their_speakers() -> None:
    turns = [("user", "Hi"), ("assistant", "Hello!"), ("user", "Who are you?")]
    messages = [{"role": role, "content": text} for role, text in turns]
    assert chat(messages=messages).fields["prompt"] == (
        "User: Hi\n\nAssistant: Hello!\n\nUser: Who are you?\n\nAssistant:"
    )


def test_pictures_recordings_and_files_of_a_message_are_sent_along() -> None:
    found = chat(
        [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": PICTURE, "detail": "low"}},
            {
                "type": "input_audio",
                "input_audio": {"data": base64.b64encode(b"RIFF").decode(), "format": "wav"},
            },
            {"type": "file", "file": {"filename": "../a.txt", "file_data": "data:text/plain;base64,aGk="}},
        ]
    )
    assert found.fields["prompt"] == "What is this?"
    assert [(one.ref.name, one.ref.media_type) for one in found.payloads] == [
        ("image-1.png", "image/png"),
        ("audio-2.wav", "audio/wav"),
        ("a.txt", "text/plain"),
    ]
    assert found.payloads[0].data == PNG


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ([{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}], "is not fetched"),
        ([{"type": "image_url", "image_url": {"url": "data:image/png;base64,%%%"}}], "is not base64"),
        ([{"type": "image_url"}], "has no URL"),
        ([{"type": "video", "video": {}}], "type 'video' cannot be sent"),
        ([{"type": "file", "file": {"file_id": "file-1"}}], "not by its id"),
        (
            [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}],
            "files of this machine are not read",
        ),
        (7, "neither a text nor a list"),
    ],
)
def test_a_part_that_cannot_be_sent_is_refused(content: Any, problem: str) -> None:
    assert problem in refusal(line({"model": "chat", "messages": [{"role": "user", "content": content}]}))


@pytest.mark.parametrize(
    "url", ["file://{0}/in/a%20b.png", "file://in/a%20b.png", "file://localhost{0}/in/a b.png"]
)
def test_a_file_below_the_batch_files_directory_is_taken_by_its_path(tmp_path: Path, url: str) -> None:
    (tmp_path / "in").mkdir()
    part = {"type": "image_url", "image_url": {"url": url.format(tmp_path)}}
    row = line({"model": "chat", "messages": [{"role": "user", "content": [part]}]})
    assert parse_line(row, MODELS, tmp_path).paths == (str(tmp_path / "in/a b.png"),)


@pytest.mark.parametrize(
    "path", ["../secret", "/etc/passwd", "link/passwd", "file:///etc/passwd", "file://../secret"]
)
def test_no_path_leads_out_of_the_batch_files_directory(tmp_path: Path, path: str) -> None:
    (tmp_path / "link").symlink_to("/etc")
    row = line({"model": "transcribe", "file": path}, "/v1/audio/transcriptions")
    assert "the batch file's directory" in refusal(row, directory=tmp_path)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (line({}, "/v1/moderations"), "'/v1/moderations' cannot be asked in a batch"),
        (line({}, "/v1/audio/speech"), "cannot be asked in a batch"),
        (line({}, method="GET"), "is a POST"),
        (line([]), "not a JSON object"),
        (line({"messages": []}), "no 'model'"),
        (line({"model": "chat", "messages": []}), "not a list of messages"),
        (line({"model": "chat", "messages": [{"role": "robot"}]}), "no role that is known"),
        (
            line({"model": "chat", "messages": [{"role": "user"}], "spacedock": {"space": "x"}}),
            "'space' under",
        ),
        (line({"model": "draw", "prompt": " "}, "/v1/images/generations"), "'prompt' is not a text"),
        (
            line({"model": "draw", "prompt": "x", "response_format": "webp"}, "/v1/images/generations"),
            "response_format 'webp' is not written here: ask for url, b64_json",
        ),
        (
            line({"model": "draw", "input": "x", "encoding_format": {"a": []}}, "/v1/embeddings"),
            "is not written here: ask for float, base64",
        ),
        (
            line(
                {"model": "transcribe", "file": "data:audio/wav;base64,AA==", "response_format": "srt"},
                "/v1/audio/transcriptions",
            ),
            "response_format 'srt' is not written here: ask for json, text, verbose_json",
        ),
        (line({"model": "chat", "input": ["a", "b"]}, "/v1/embeddings"), "a request for each"),
        (line({"model": "whisper-1"}, "/v1/audio/transcriptions"), "no recording"),
        (line({}) | {"custom_id": 7}, "'custom_id' is not a text"),
    ],
)
def test_a_line_that_cannot_be_a_job_says_why(row: dict[str, Any], problem: str) -> None:
    assert problem in refusal(row)


def test_parameters_become_optional_inputs() -> None:
    found = chat(temperature=0.2, max_completion_tokens=9, n=1, stream=True, user="me", top_p=None)
    assert found.fields["optional_inputs"] == {"temperature": 0.2, "max_tokens": 9}
    assert found.not_honoured(("temperature",)) == ("max_completion_tokens",)


def test_what_no_space_can_be_told_is_not_honoured() -> None:
    found = chat(tools=[{"type": "function"}], response_format={"type": "json_object"})
    assert found.not_honoured(()) == ("tools", "response_format")


def test_a_size_is_a_width_and_a_height() -> None:
    body = {"model": "draw", "prompt": "a cat", "size": "512x256", "response_format": "b64_json"}
    found = parse_body(ApiRoute.IMAGES, body, MODELS)
    assert found.fields["optional_inputs"] == {"width": 512, "height": 256, "size": "512x256"}
    assert found.not_honoured(("width", "height")) == ()
    assert found.form == {"response_format": "b64_json"}


def test_only_spaces_answer_where_words_would_be_no_answer() -> None:
    assert (
        parse_body(ApiRoute.IMAGES, {"model": "draw", "prompt": "a cat"}, MODELS).fields["fallback"]
        == "spaces"
    )


def test_our_own_fields_come_under_our_name() -> None:
    found = chat(spacedock={"endpoint": "/chat", "inputs": {"steps": 4}, "timeout": 9})
    assert JobRequest(**found.fields).inputs == {"steps": 4}


def test_anthropics_lines_are_read() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(PNG).decode()}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "Hello"}]
    params = {
        "model": "claude-opus-4-6",
        "max_tokens": 1024,
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [{"role": "user", "content": content}],
    }
    row = {"custom_id": "my-first-request", "params": params}
    found = parse_line(row, MODELS)
    assert is_request_line(row)
    assert (found.id, found.anthropic, found.known) == ("my-first-request", True, False)
    assert found.fields["prompt"] == "Be brief.\n\nHello"
    assert [one.data for one in found.payloads] == [PNG]


@pytest.mark.parametrize(
    ("row", "is_one"),
    [
        (line({}), True),
        ({"custom_id": "a", "params": {}}, True),
        ({"custom_id": "a", "prompt": "hello"}, False),
        ({"prompt": "hello", "params": {}}, False),
        ("hello", False),
    ],
)
def test_the_form_is_recognised_by_itself(row: Any, is_one: bool) -> None:
    assert is_request_line(row) is is_one


def test_every_field_of_a_translation_is_one_of_a_job() -> None:
    for found in (chat(), parse_body(ApiRoute.IMAGES, {"model": "auto", "prompt": "a cat"}, MODELS)):
        json.dumps(JobRequest(**found.fields).model_dump(mode="json"))


@pytest.mark.parametrize(("asked", "told"), [(["segment"], []), (["word"], ["timestamp_granularities"])])
def test_times_of_words_are_told_as_not_honoured(asked: list[str], told: list[str]) -> None:
    body = {"model": "transcribe", "file": "data:audio/wav;base64,AA==", "timestamp_granularities": asked}
    assert list(parse_line(line(body, "/v1/audio/transcriptions"), MODELS).not_honoured(())) == told
