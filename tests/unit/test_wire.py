"""The codec of the wire: versions, unknown fields, garbage, and errors that keep prompts to themselves."""

from __future__ import annotations

import json
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacedock._wire.wire import VERSION, decode, encode
from spacedock.errors import WireError
from spacedock.request import JobRequest

SECRET = "my secret prompt"

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)


def message(**fields: object) -> str:
    return json.dumps({"v": VERSION, "prompt": SECRET, **fields})


def refused(raw: str | bytes) -> WireError:
    with pytest.raises(WireError) as caught:
        decode(JobRequest, raw)
    return caught.value


@given(prompt=TEXT.filter(str.strip), inputs=st.dictionaries(TEXT, JSON, max_size=4))
def test_what_was_encoded_is_decoded_as_it_was(prompt: str, inputs: dict[str, object]) -> None:
    request = JobRequest(prompt=prompt, inputs=inputs)
    assert decode(JobRequest, encode(request)) == request


def test_every_message_says_its_version() -> None:
    assert json.loads(encode(JobRequest(prompt="x")))["v"] == VERSION


def test_unknown_fields_are_ignored() -> None:
    assert decode(JobRequest, message(colour="blue")).prompt == SECRET


@pytest.mark.parametrize("version", [0, 2, "1", None, [1], "latest"])
def test_an_unknown_version_is_refused_and_says_which_is_spoken(version: object) -> None:
    assert f"speaks version {VERSION}" in str(refused(message(v=version)))


@pytest.mark.parametrize(
    "raw", ["", "null", "[]", "1", '"text"', "{}", '{"prompt": "x"}', b"\xff\xfe", "\x00", "{" * 20_000]
)
def test_garbage_is_refused(raw: str | bytes) -> None:
    assert str(refused(raw)).startswith("not a JobRequest")


def test_deep_nesting_is_refused_and_not_a_crash() -> None:
    assert "not JSON" in str(refused("[" * 200_000))


@pytest.mark.parametrize(
    "fields",
    [
        {"timeout": SECRET},
        {"tier": SECRET},
        {"prompt": {"text": SECRET}},
        {"files": [{"name": SECRET, "sha256": SECRET, "size": SECRET}]},
        {"labels": {"a": SECRET * 100}},
    ],
)
def test_an_error_names_the_field_and_never_its_value(fields: dict[str, object]) -> None:
    error = refused(message(**fields))
    assert next(iter(fields)) in str(error)
    assert SECRET not in str(error)


def test_the_traceback_of_an_error_holds_no_prompt_either() -> None:
    error = refused(message(timeout=SECRET))
    assert SECRET not in "".join(traceback.format_exception(error))


def test_broken_json_is_not_repeated_in_the_error() -> None:
    assert SECRET not in str(refused(message()[:-1]))
