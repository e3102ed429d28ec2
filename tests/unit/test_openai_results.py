"""Our results in OpenAI's and Anthropic's shapes, read back by their own packages' types."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest
from anthropic.types.messages import MessageBatchIndividualResponse
from openai.types import CreateEmbeddingResponse, ErrorObject, ImagesResponse
from openai.types.audio import Transcription, TranscriptionVerbose
from openai.types.chat import ChatCompletion

from spacedock.batching.results.openai_lines import error_line, result_line
from spacedock.files import payload_of
from spacedock.openai.bodies import WrongAnswerError, response_body, wants_files
from spacedock.openai.model_names import ApiRoute, ModelNames
from spacedock.openai.translation import TranslatedRequest, parse_body, parse_line
from spacedock.request import Tier
from spacedock.result import (
    AnsweredBy,
    AnswerKind,
    Attempt,
    AttemptError,
    ErrorKind,
    JobResult,
    Output,
    Stage,
    TokenCounts,
)
from spacedock.states import JobState

MODELS = ModelNames(spaces={"space": "space"})
PICTURE = payload_of("cat.png", b"\x89PNG")
BY = AnsweredBy(tier=Tier.HEAVY, kind=AnswerKind.SPACE, name="space", honoured=("temperature",))
CREATED = 1_700_000_000
CHAT = {"model": "space", "messages": [{"role": "user", "content": "Hello"}], "temperature": 0, "top_p": 1}


def request(route: ApiRoute, **body: Any) -> TranslatedRequest:
    return parse_body(route, {"model": "space", **body}, MODELS)


def answered(**output: Any) -> JobResult:
    return JobResult(id="1a", state=JobState.SUCCEEDED, answered_by=BY, output=Output(**output))


def failed(kind: ErrorKind = ErrorKind.APP_ERROR, state: JobState = JobState.FAILED) -> JobResult:
    error = AttemptError(kind=kind, message="it broke")
    attempt = Attempt(tier=Tier.HEAVY, name="space", stage=Stage.CALL, error=error)
    return JobResult(id="1a", state=state, attempts=(attempt,))


def test_a_chat_is_read_by_openais_types() -> None:
    body = response_body(request(ApiRoute.CHAT, **CHAT), answered(text="Hi"), CREATED)
    found = ChatCompletion.model_validate(body, strict=True)
    assert found.choices[0].message.content == "Hi"
    assert (found.choices[0].finish_reason, found.model) == ("stop", "space")
    own = body["spacedock"]
    assert (own["answered_by"]["name"], own["degraded"], own["not_honoured"]) == ("space", False, ["top_p"])


def test_the_tokens_of_a_model_are_its_usage() -> None:
    by = BY.model_copy(update={"tokens": TokenCounts(prompt=7, completion=3)})
    counted = answered(text="Hi").model_copy(update={"answered_by": by})
    body = response_body(request(ApiRoute.CHAT, **CHAT), counted, CREATED)
    assert body["usage"] == {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    body = response_body(request(ApiRoute.CHAT, **CHAT), answered(text="Hi"), CREATED)
    assert set(body["usage"].values()) == {0}


def test_a_cut_answer_ended_for_its_length() -> None:
    body = response_body(request(ApiRoute.CHAT, **CHAT), answered(text="Hi", truncated=True), CREATED)
    assert body["choices"][0]["finish_reason"] == "length"


def test_a_chats_files_are_named_and_described() -> None:
    body = response_body(
        request(ApiRoute.CHAT, **CHAT),
        answered(files=(PICTURE.ref,)),
        CREATED,
        url_of=lambda ref: f"/{ref.name}",
    )
    assert body["choices"][0]["message"]["content"] == "cat.png"
    assert body["spacedock"]["files"][0]["url"] == "/cat.png"


@pytest.mark.parametrize("data", [[0.5, 1], [[0.5, 1]], {"data": [{"embedding": [0.5, 1]}]}])
def test_a_vector_is_found_wherever_it_is(data: Any) -> None:
    body = response_body(request(ApiRoute.EMBEDDINGS, input="Hello"), answered(data=data), CREATED)
    assert CreateEmbeddingResponse.model_validate(body, strict=True).data[0].embedding == [0.5, 1.0]


def test_a_vector_is_packed_where_the_client_asks_for_that() -> None:
    asked = request(ApiRoute.EMBEDDINGS, input="Hello", encoding_format="base64")
    body = response_body(asked, answered(data=[0.5, 1]), CREATED)
    assert struct.unpack("<2f", base64.b64decode(body["data"][0]["embedding"])) == (0.5, 1.0)


@pytest.mark.parametrize(
    ("route", "body", "wanted"),
    [(ApiRoute.EMBEDDINGS, {"input": "a"}, "a vector"), (ApiRoute.IMAGES, {"prompt": "a"}, "a picture")],
)
def test_an_answer_of_another_kind_is_a_failure(route: ApiRoute, body: dict[str, str], wanted: str) -> None:
    with pytest.raises(WrongAnswerError, match=wanted):
        response_body(request(route, **body), answered(text="words", data="words"), CREATED)
    line, is_result = result_line(request(route, **body), answered(text="words"), CREATED)
    assert (is_result, line["response"]["status_code"]) == (False, 502)


def test_pictures_come_as_base64_or_by_their_address() -> None:
    files = {PICTURE.ref.sha256: PICTURE.data}
    result = answered(files=(PICTURE.ref,))
    asked = request(ApiRoute.IMAGES, prompt="a cat")
    found = ImagesResponse.model_validate(response_body(asked, result, CREATED, files), strict=True)
    assert found.data is not None
    assert base64.b64decode(found.data[0].b64_json or "") == PICTURE.data
    asked = request(ApiRoute.IMAGES, prompt="a cat", response_format="url")
    assert not wants_files(asked, urls=True)
    body = response_body(asked, result, CREATED, url_of=lambda ref: f"http://host/{ref.name}")
    assert body["data"] == [{"url": "http://host/cat.png"}]


def test_a_transcript_has_its_times_where_the_space_gives_them() -> None:
    data = [{"text": "one two", "language": "en", "chunks": [{"timestamp": [0, 1.5], "text": "one two"}]}]
    body = {"model": "space", "file": "data:audio/wav;base64,UklGRg==", "response_format": "verbose_json"}
    asked = parse_body(ApiRoute.TRANSCRIPTIONS, body, MODELS)
    found = TranscriptionVerbose.model_validate(
        response_body(asked, answered(text="one two", data=data), CREATED), strict=True
    )
    assert (found.language, found.duration, found.text) == ("en", 1.5, "one two")
    assert found.segments is not None
    assert found.segments[0].end == 1.5
    plain = parse_body(ApiRoute.TRANSCRIPTIONS, body | {"response_format": "json"}, MODELS)
    assert Transcription.model_validate(response_body(plain, answered(text="one"), CREATED)).text == "one"


def test_a_results_line_is_openais() -> None:
    row = {"custom_id": "request-1", "method": "POST", "url": "/v1/chat/completions", "body": CHAT}
    line, is_result = result_line(parse_line(row, MODELS), answered(text="Hi"), CREATED)
    assert is_result
    assert (line["custom_id"], line["error"], line["response"]["status_code"]) == ("request-1", None, 200)
    ChatCompletion.model_validate(line["response"]["body"], strict=True)


@pytest.mark.parametrize(
    ("result", "status", "code"),
    [
        (failed(), 500, "app_error"),
        (failed(ErrorKind.BAD_INPUT), 400, "bad_input"),
        (failed(ErrorKind.TIMEOUT), 504, "timeout"),
        (JobResult(id="1a", state=JobState.CANCELLED), 409, "cancelled"),
        (JobResult(id="1a", state=JobState.DEAD), 500, "dead"),
    ],
)
def test_a_failed_job_is_a_line_of_the_errors_file(result: JobResult, status: int, code: str) -> None:
    line, is_result = result_line(request(ApiRoute.CHAT, **CHAT), result, CREATED)
    assert (is_result, line["response"]["status_code"]) == (False, status)
    error = ErrorObject.model_validate(line["response"]["body"]["error"], strict=True)
    assert error.code == code
    assert len(line["response"]["body"]["spacedock"]["attempts"]) == len(result.attempts)


def test_a_line_that_never_was_a_job_has_no_response() -> None:
    line = error_line("a", "invalid_request", "no 'model'")
    assert (line["response"], line["error"]["code"]) == (None, "invalid_request")


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        (answered(text="Hi"), "succeeded"),
        (failed(), "errored"),
        (JobResult(id="1a", state=JobState.CANCELLED), "canceled"),
    ],
)
def test_anthropics_lines_are_read_by_its_own_types(result: JobResult, kind: str) -> None:
    params = {"model": "space", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}
    line, is_result = result_line(parse_line({"custom_id": "a", "params": params}, MODELS), result, CREATED)
    found = MessageBatchIndividualResponse.model_validate(line, strict=True)
    assert (found.result.type, is_result) == (kind, kind == "succeeded")


@pytest.mark.parametrize(("code", "kind"), [("batch_expired", "expired"), ("invalid_request", "errored")])
def test_anthropics_lines_of_what_was_never_sent_are_read_too(code: str, kind: str) -> None:
    line = error_line("a", code, "no", anthropic=True)
    assert MessageBatchIndividualResponse.model_validate(line, strict=True).result.type == kind
