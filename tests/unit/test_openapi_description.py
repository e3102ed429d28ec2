"""What the adapter understands of real documents, of their usual shapes, and of hostile ones."""

from __future__ import annotations

import json
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacedock.files import payload_of
from spacedock.result import ErrorKind
from spacedock_worker.adapters.base import AppCall
from spacedock_worker.adapters.binding.choose import choose
from spacedock_worker.adapters.binding.explain import explained
from spacedock_worker.adapters.openapi.description import describe
from spacedock_worker.adapters.openapi.operation import Operation, Written
from spacedock_worker.adapters.openapi.request import build
from spacedock_worker.errors import StepError

DATA = Path(__file__).parent / "data" / "openapi"
PNG = payload_of("a.png", b"\x89PNG\r\n\x1a\n")


def recorded(name: str) -> tuple[Operation, ...]:
    return describe(json.loads((DATA / f"{name}.json").read_text()))


def document(
    *fields: Any, media: str = "application/json", path: str = "/do", schemas: Any = None, **more: Any
) -> Any:
    """A document with one operation, whose body has these (name, schema) fields; all are required."""
    schema = {"type": "object", "properties": dict(fields), "required": [name for name, _ in fields]}
    post = {"requestBody": {"required": True, "content": {media: {"schema": schema}}}} | more
    return {"openapi": "3.1.0", "paths": {path: {"post": post}}, "components": {"schemas": schemas or {}}}


def slot_of(schema: Any, media: str = "application/json", name: str = "x", **schemas: Any) -> Any:
    operation = describe(document((name, schema), media=media, schemas=schemas))[0]
    slot = operation.endpoint.slots[0]
    return slot.component, slot.many, operation.parameters[0].written.value


def chosen(operations: tuple[Operation, ...], call: AppCall) -> str:
    return choose([operation.endpoint for operation in operations], call).endpoint.name


def test_the_operations_of_a_real_app_are_read() -> None:
    told = {o.endpoint.name: (o.method, str(o.endpoint)) for o in recorded("sentiment")}
    assert told == {
        "/": ("GET", "/()"),
        "/health": ("GET", "/health(verbose: checkbox = default)"),
        "/predict": ("POST", "/predict(text: textbox, language: dropdown = default)"),
        "/words/{word}": ("GET", "/words/{word}(word: textbox, language: dropdown = default)"),
    }


def test_a_prompt_goes_to_the_work_and_not_to_health_or_a_lookup() -> None:
    assert chosen(recorded("sentiment"), AppCall("lovely")) == "/predict"
    assert chosen(recorded("chat"), AppCall("hello")) == "/v1/chat/completions"


def test_health_never_answers_in_the_place_of_work_that_lacks_an_input() -> None:
    with pytest.raises(StepError, match="text needs a text"):
        chosen(recorded("sentiment"), AppCall(""))


def test_a_file_goes_where_it_is_taken_as_it_is() -> None:
    assert chosen(recorded("image"), AppCall("", (PNG,))) == "/negative"
    assert chosen(recorded("image"), AppCall("", (PNG, PNG))) == "/sizes"


def test_the_choice_is_explained() -> None:
    answer = explained([o.endpoint for o in recorded("sentiment")], AppCall("lovely"))
    assert answer.text is not None
    assert answer.text.startswith("* /predict(")


@pytest.mark.parametrize(
    ("schema", "slot"),
    [
        ({"type": "string"}, ("textbox", False, "plain")),
        ({"type": "integer"}, ("number", False, "plain")),
        ({"type": "boolean"}, ("checkbox", False, "plain")),
        ({"type": "object"}, ("json", False, "plain")),
        ({}, ("json", False, "plain")),
        ({"type": ["string", "null"]}, ("textbox", False, "plain")),
        ({"type": "string", "enum": ["a", "b", None]}, ("dropdown", False, "plain")),
        ({"type": "array", "items": {"enum": ["a"]}}, ("dropdown", True, "plain")),
        ({"type": "array", "items": {"type": "number"}}, ("json", False, "plain")),
        ({"anyOf": [{"type": "number"}, {"type": "null"}]}, ("number", False, "plain")),
        ({"anyOf": [{"type": "array"}, {"type": "string"}]}, ("textbox", False, "plain")),
        ({"allOf": [{"$ref": "#/components/schemas/E"}], "default": "a"}, ("dropdown", False, "plain")),
        ({"type": "string", "format": "byte"}, ("file", False, "base64")),
        ({"type": "string", "contentEncoding": "base64"}, ("file", False, "base64")),
        (
            {"type": "string", "contentEncoding": "base64", "contentMediaType": "audio/wav"},
            ("audio", False, "base64"),
        ),
        ({"type": "string", "format": "byte", "description": "a data URL"}, ("file", False, "data_url")),
    ],
)
def test_schemas_become_slots(schema: Any, slot: tuple[str, bool, str]) -> None:
    assert slot_of(schema, E={"type": "string", "enum": ["a", "b"]}) == slot


@pytest.mark.parametrize(
    ("name", "more", "slot"),
    [
        ("image_base64", {}, ("image", False, "base64")),
        ("imageB64", {}, ("image", False, "base64")),
        ("image_data_url", {}, ("image", False, "data_url")),
        ("audio", {"description": "the sound, base64-encoded"}, ("audio", False, "base64")),
        ("image_url", {}, ("textbox", False, "plain")),
        ("image", {}, ("textbox", False, "plain")),
    ],
)
def test_a_text_that_wants_a_file_is_known_by_its_name(name: str, more: Any, slot: Any) -> None:
    assert slot_of({"type": "string"} | more, name=name) == slot


@pytest.mark.parametrize(
    ("schema", "slot"),
    [
        ({"type": "string", "format": "binary"}, ("file", False, "plain")),
        ({"type": "string", "contentMediaType": "application/octet-stream"}, ("file", False, "plain")),
        ({"type": "string", "contentMediaType": "application/json"}, ("textbox", False, "plain")),
        ({"type": "array", "items": {"type": "string", "format": "binary"}}, ("file", True, "plain")),
        ({"anyOf": [{"type": "string", "format": "binary"}, {"type": "null"}]}, ("file", False, "plain")),
    ],
)
def test_files_of_a_multipart_form_are_sent_as_themselves(schema: Any, slot: Any) -> None:
    assert slot_of(schema, media="multipart/form-data") == slot


def test_chat_messages_take_the_prompt() -> None:
    operation = recorded("chat")[1]
    messages = next(p for p in operation.parameters if p.name == "messages")
    assert (messages.slot.component, messages.written) == ("textbox", Written.MESSAGES)


def test_a_list_of_texts_takes_the_prompt_where_nothing_else_could() -> None:
    texts = ("texts", {"type": "array", "items": {"type": "string"}})
    assert describe(document(texts))[0].endpoint.slots[0].component == "textbox"
    both = describe(document(texts, ("query", {"type": "string"})))[0]
    assert [slot.component for slot in both.endpoint.slots] == ["json", "textbox"]


def test_a_body_that_is_no_object_is_one_slot() -> None:
    for schema, component in [({"type": "string"}, "textbox"), ({"type": "object"}, "json")]:
        body = {"required": True, "content": {"application/json": {"schema": schema}}}
        operation = describe(document(requestBody=body))[0]
        assert [(s.name, s.component) for s in operation.endpoint.slots] == [("body", component)]


def test_the_first_of_several_methods_is_taken() -> None:
    item = {method: {} for method in ("get", "delete", "patch", "put")}
    assert [o.method for o in describe({"paths": {"/x": item}})] == ["PUT"]


def test_what_stands_for_the_path_holds_for_its_operations_unless_they_say_otherwise() -> None:
    path = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    told = document(("text", {"type": "string"}), path="/x/{id}")
    told["paths"]["/x/{id}"]["parameters"] = [path]
    told["paths"]["/x/{id}"]["post"]["parameters"] = [path | {"schema": {"type": "integer"}}]
    assert str(describe(told)[0].endpoint) == "/x/{id}(id: number, text: textbox)"


def test_one_work_below_two_paths_is_no_tie() -> None:
    told = document(("text", {"type": "string"}), path="/predict")
    told["paths"]["/v1/predict"] = told["paths"]["/predict"]
    assert chosen(describe(told), AppCall("hi")) == "/predict"


def test_servers_and_paths_that_lead_elsewhere_are_not_used() -> None:
    told = document(("text", {"type": "string"}), servers=[{"url": "http://elsewhere"}])
    told["servers"] = [{"url": "http://elsewhere"}]
    for path in ("@elsewhere/", "http://elsewhere", "", "/a\r\nHost: x", "/x/{unknown}"):
        told["paths"][path] = told["paths"]["/do"]
    assert [operation.path for operation in describe(told)] == ["/do"]


@pytest.mark.parametrize("told", [None, [], "x", {}, {"paths": None}, {"paths": []}, {"swagger": "2.0"}])
def test_what_is_no_description_is_bad_output(told: object) -> None:
    with pytest.raises(StepError) as caught:
        describe(told)
    assert caught.value.kind is ErrorKind.BAD_OUTPUT


@pytest.mark.parametrize(
    "schemas",
    [
        {"A": {"$ref": "#/components/schemas/A"}},
        {"A": {"allOf": [{"$ref": "#/components/schemas/A"}] * 9}},
        {"A": {"anyOf": [{"$ref": "#/components/schemas/B"}] * 9}, "B": {"$ref": "#/components/schemas/A"}},
        {"A": {"type": "array", "items": {"$ref": "#/components/schemas/A"}}},
        {"A": {"properties": {"a": {"$ref": "#/components/schemas/A"}}}},
        {"A": {"properties": {str(n): {} for n in range(100_000)}}},
        {"A": {"enum": list(range(300_000))}},
        {"A": {"$ref": "#/" + "a/" * 100_000}},
        {"A": {"allOf": [{}] * 100_000}},
    ],
)
def test_a_document_that_unfolds_without_end_costs_little(schemas: Any) -> None:
    reference = {"$ref": "#/components/schemas/A"}
    told = document(*[(f"f{n}", reference) for n in range(100)], schemas=schemas)
    told["paths"] |= {f"/p{n}": told["paths"]["/do"] for n in range(1000)}
    told["paths"]["/sound"] = document(("text", {"type": "string"}))["paths"]["/do"]
    began = process_time()
    describe(told)
    assert process_time() - began < 5


def test_one_operation_that_is_too_complicated_does_not_hide_the_others() -> None:
    endless = {"A": {"allOf": [{"$ref": "#/components/schemas/A"}] * 9}}
    told = document(("x", {"$ref": "#/components/schemas/A"}), schemas=endless)
    told["paths"]["/sound"] = document(("text", {"type": "string"}))["paths"]["/do"]
    assert [operation.path for operation in describe(told)] == ["/sound"]


KEYS = st.sampled_from(
    [
        *("$ref", "allOf", "anyOf", "type", "properties", "items", "enum", "const", "default", "required"),
        *("format", "parameters", "requestBody", "content", "schema", "application/json", "text/plain"),
        *("multipart/form-data", "name", "in", "post", "get", "responses", "200", "title", "text"),
        *("description", "contentEncoding", "contentMediaType", "encoding"),
    ]
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.sampled_from(["string", "array", "object", "binary", "query", "path", "#/paths", "#/", "#/paths/~1a"]),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=40,
)
OPERATIONS = st.dictionaries(st.sampled_from(["post", "get", "parameters"]), VALUES, max_size=3)


def with_body(schema: Any) -> Any:
    content = {"application/json": {"schema": schema}}
    return {"post": {"requestBody": {"required": True, "content": content}}}


PATHS = st.sampled_from(["/a", "/b/{text}", "b", "/c"])
BODIES = st.dictionaries(KEYS, VALUES, max_size=6).map(with_body)


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["/a", "/b/{text}", "b", "/c"]), VALUES | OPERATIONS | BODIES, max_size=4)
)
def test_no_document_breaks_the_adapter(paths: dict[str, Any]) -> None:
    for operation in describe({"paths": paths}):
        try:
            filling = choose([operation.endpoint], AppCall("hi")).filling
        except StepError:
            continue
        build(operation, filling.data, ()).data()
