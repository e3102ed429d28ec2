"""What is a job and what is not, however it is asked for."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from spacedock.errors import BadRequestError
from spacedock.files import MAX_FILE_BYTES, MAX_JOB_FILES, MAX_REPOSITORY_BYTES, FileRef, payload_of
from spacedock.prepare import prepare
from spacedock.request import JobRequest

FILE = payload_of("a.txt", b"a").ref


def refused(prompt: str = "hello", space: str | None = None, **fields: Any) -> str:
    with pytest.raises(BadRequestError) as caught:
        prepare(prompt, (), space, fields)
    return str(caught.value)


@pytest.mark.parametrize("prompt", ["", " ", "\n\t ", "\u3000"])
def test_a_blank_prompt_alone_is_no_job(prompt: str) -> None:
    assert "give at least one of them" in refused(prompt)


def test_a_file_stands_in_for_a_prompt() -> None:
    assert JobRequest(files=(FILE,)).payloads == (FILE,)


def test_inputs_stand_in_for_a_prompt() -> None:
    assert JobRequest(inputs={"text": "hello"}).prompt == ""


@pytest.mark.parametrize("name", ["a", "sentiment", "Ab.c_d-9", "user/space", "0x/1y"])
def test_names_and_hub_ids_are_spaces(name: str) -> None:
    assert JobRequest(prompt="x", space=name).space == name


@pytest.mark.parametrize(
    "name",
    ["", " ", "a b", "a/b/c", "/etc", "../x", "-rf", "a\n", "a/", "/a", "a/../b", "ä", "a;b", "https://x/y"],
)
def test_other_names_are_no_spaces(name: str) -> None:
    with pytest.raises(ValidationError, match="is not a Space"):
        JobRequest(prompt="x", space=name)


@pytest.mark.parametrize("endpoint", ["predict", "", "http://x/predict"])
def test_an_endpoint_starts_with_a_slash(endpoint: str) -> None:
    assert "starts with '/'" in refused(endpoint=endpoint)


@pytest.mark.parametrize("timeout", [0, -1, math.nan, math.inf, 86_401, "soon", None])
def test_a_timeout_is_some_seconds_and_no_more_than_a_day(timeout: object) -> None:
    assert refused(timeout=timeout).startswith("timeout: ")


def test_labels_are_few() -> None:
    assert refused(labels={str(n): "x" for n in range(21)}).startswith("labels: ")


def test_labels_are_short() -> None:
    assert refused(labels={"team": "x" * 201}).startswith("labels.team: ")


@pytest.mark.parametrize("key", ["", "x" * 201])
def test_an_idempotency_key_has_a_length(key: str) -> None:
    assert refused(idempotency_key=key).startswith("idempotency_key: ")


def test_an_unknown_option_is_named() -> None:
    assert "unknown option promt" in refused(promt="x")


def test_a_request_cannot_be_changed() -> None:
    request = JobRequest(prompt="x")
    with pytest.raises(ValidationError, match="frozen"):
        request.prompt = "y"


@pytest.mark.parametrize("value", [object(), {"a": {1, object()}}, float])
def test_inputs_that_json_cannot_hold_are_refused(value: object) -> None:
    assert "cannot be written as JSON" in refused(inputs={"a": value})


def test_half_a_character_is_refused_with_its_place() -> None:
    assert refused("half \ud83d emoji").startswith(r"'prompt' holds half a character (\ud83d): write both")
    assert refused(inputs={"a": {"b": "\ud800"}}).startswith("'a' holds half a character")


def test_a_space_that_is_a_directory_here_is_told_how_to_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my/apps/ocr").mkdir(parents=True)
    assert refused(space="my/apps/ocr").endswith("write ./my/apps/ocr")
    assert refused(space="my/ocr/").endswith("give a registry name or a Hub id (user/space)")


def test_inputs_that_are_nested_without_end_are_refused() -> None:
    loop: list[object] = []
    loop.append(loop)
    assert "cannot be written as JSON" in refused(inputs={"a": loop})


def test_a_refusal_does_not_repeat_the_prompt() -> None:
    assert "my secret" not in refused("my secret", timeout=-1)


def test_a_directory_of_nobody_is_refused() -> None:
    assert "there is no such user" in refused(space="~no-such-user-here/space")


def ref(name: str = "a.txt", size: int = 1, **more: object) -> FileRef:
    return FileRef.model_validate({"name": name, "sha256": "0" * 64, "size": size, **more})


@pytest.mark.parametrize(
    "files",
    [
        (ref(),) * (MAX_JOB_FILES + 1),
        (ref(size=MAX_FILE_BYTES + 1),),
        (ref(size=MAX_FILE_BYTES),) * 5,
        (ref(".."),),
        (ref("."),),
        (ref("a\nb.txt"),),
        (ref("a\x1b[2J.txt"),),
        (ref("a\u2028b.txt"),),
    ],
    ids=["many", "large", "large together", "dots", "dot", "line", "escape", "separator"],
)
def test_a_request_that_our_client_did_not_make_is_bounded(files: tuple[FileRef, ...]) -> None:
    with pytest.raises(ValidationError, match=r"files|file's name|MB is over the limit"):
        JobRequest(prompt="x", files=files)


def test_a_repository_is_bounded() -> None:
    with pytest.raises(ValidationError, match="over the limit of 128 MB"):
        JobRequest(prompt="x", repository=ref("space.tar", size=MAX_REPOSITORY_BYTES + 1))


@pytest.mark.parametrize("media_type", ["", "text/plain\r\nX-Evil: 1", "ä/b", "a" * 300])
def test_a_media_type_cannot_be_a_header(media_type: str) -> None:
    with pytest.raises(ValidationError):
        ref(media_type=media_type)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1, {"a": -float("inf")}]])
@pytest.mark.parametrize("where", ["inputs", "optional_inputs"])
def test_numbers_that_json_has_no_word_for_are_refused(where: str, value: object) -> None:
    assert "the input 'a' is NaN or infinite" in refused(**{where: {"a": value}})
