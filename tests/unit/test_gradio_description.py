"""What the adapter understands of real apps' `/config` and `/info`, and of apps that are not well."""

from __future__ import annotations

import time
from typing import Any

import pytest
from tests.unit.gradio_apps import app_of, endpoint_of, page, recorded

from spacedock.result import ErrorKind
from spacedock_worker.adapters.gradio.description import describe
from spacedock_worker.adapters.gradio.slots import slot_of
from spacedock_worker.adapters.gradio.wire import Component
from spacedock_worker.errors import StepError

VERSIONS = ("5.50.0", "6.31.0")
BOX = {"id": 1, "type": "textbox"}


@pytest.mark.parametrize("version", VERSIONS)
def test_version_protocol_and_prefix_are_read(version: str) -> None:
    app = app_of("usual", version)
    assert (app.version, app.protocol, app.prefix) == (version, "sse_v3", "/gradio_api")


@pytest.mark.parametrize("version", VERSIONS)
def test_inputs_have_the_names_of_the_functions_parameters(version: str) -> None:
    infer = endpoint_of(app_of("usual", version), "/infer")
    assert [(s.name, s.component, s.required, s.default) for s in infer.slots] == [
        ("prompt", "textbox", True, None),
        ("negative", "textbox", True, None),
        ("seed", "slider", False, 3),
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_state_keeps_its_place_without_being_a_slot(version: str) -> None:
    remember = endpoint_of(app_of("media", version), "/remember")
    assert (remember.width, [slot.position for slot in remember.slots]) == (2, [1])
    assert remember.stateful
    assert endpoint_of(app_of("usual", version), "/chat").outputs == ("textbox", None)


@pytest.mark.parametrize("version", VERSIONS)
def test_hidden_endpoints_are_described_and_not_visible(version: str) -> None:
    app = app_of("media", version)
    assert not endpoint_of(app, "/hidden").visible
    [private] = [e for e in app.endpoints if "private" in e.name or "fn_index" in e.name]
    assert not private.visible
    assert not any("False" in endpoint.name for endpoint in app.endpoints)


@pytest.mark.parametrize("version", VERSIONS)
def test_choices_lists_and_file_types_are_read(version: str) -> None:
    app = app_of("media", version)
    colours = endpoint_of(app, "/pick").slots[0]
    assert (colours.choices, colours.many) == ((("Blue", "b"), ("Red", "r")), True)
    assert endpoint_of(app, "/read").slots[0].accepts == (".pdf", "image")
    assert endpoint_of(app_of("components", version), "/sizes").slots[0].many


@pytest.mark.parametrize(("version", "wrapped"), [("5.50.0", "video"), ("6.31.0", "")])
def test_only_gradio_5_wraps_a_video(version: str, wrapped: str) -> None:
    assert endpoint_of(app_of("media", version), "/watch").slots[0].wrapped == wrapped


@pytest.mark.parametrize("version", VERSIONS)
def test_without_info_the_components_labels_and_values_must_do(version: str) -> None:
    infer = endpoint_of(describe(recorded("usual", version)["config"], None), "/infer")
    assert [(s.name, s.required) for s in infer.slots] == [
        ("Prompt", True),
        ("Negative prompt", True),
        ("Seed", False),
    ]


def test_a_prefix_that_is_no_path_is_not_used() -> None:
    assert describe({"dependencies": [], "api_prefix": "@elsewhere/"}, None).prefix == ""


@pytest.mark.parametrize(
    "config",
    [None, [], {}, {"dependencies": 3}, {"dependencies": [{"inputs": "x"}]}, {"dependencies": [{"id": "a"}]}],
)
def test_a_description_that_is_not_gradios_is_bad_output(config: object) -> None:
    with pytest.raises(StepError) as caught:
        describe(config, None)
    assert caught.value.kind is ErrorKind.BAD_OUTPUT


def test_inputs_that_name_no_component_are_left_out() -> None:
    app = describe({"dependencies": [{"api_name": "x", "inputs": [7], "outputs": [8]}]}, None)
    assert (app.endpoints[0].slots, app.endpoints[0].outputs) == ((), (None,))


def test_a_function_of_the_page_alone_and_a_cancel_are_left_out() -> None:
    told: list[dict[str, Any]] = [
        {"backend_fn": False},
        {"types": {"cancel": True}},
        {"api_name": "go", "inputs": [], "outputs": []},
    ]
    assert [e.name for e in page(*told).endpoints] == ["/go"]


def test_what_calls_a_function_beside_sending_data_is_kept() -> None:
    told = {
        "id": 7,
        "queue": False,
        "batch": True,
        "types": {"generator": True},
        "inputs": [1],
        "outputs": [1],
    }
    after = {"id": 9, "api_name": "then", "trigger_after": 7, "inputs": [1], "outputs": [1]}
    function = page(told | {"api_name": "go"}, after, Text="textbox").functions["/go"]
    assert (function.fn_index, function.queue, function.batch, function.generator) == (7, False, True, True)
    assert (function.inputs, function.outputs, function.followers) == ((1,), (1,), (9,))


@pytest.mark.parametrize("queued", [True, False, None])
def test_an_app_has_a_queue_unless_it_says_no(queued: bool | None) -> None:
    assert describe({"dependencies": [], "enable_queue": queued}, None).queued is (queued is not False)


@pytest.mark.parametrize("properties", [3, True, "video", ["video"], {}, None])
@pytest.mark.parametrize("where", ["api_info", "api_info_as_input"])
def test_a_schema_of_the_wrong_shape_does_no_harm(where: str, properties: object) -> None:
    box = BOX | {where: {"properties": properties}}
    app = describe({"components": [box], "dependencies": [{"inputs": [1]}]}, None)
    assert not app.endpoints[0].slots[0].wrapped


def test_parameters_that_are_not_as_many_as_the_inputs_are_left_out() -> None:
    config = {"components": [BOX], "dependencies": [{"api_name": "go", "inputs": [1]}]}
    info = {"named_endpoints": {"/go": {"parameters": [{"parameter_name": n} for n in "ab"]}}}
    assert describe(config, info).endpoints[0].slots[0].name == "input_0"


def test_names_are_made_printable_and_short() -> None:
    box = BOX | {"props": {"label": "a\x1b[31m\u202e" + "b" * 500}}
    told = {"api_name": "x\n\x07" + "y" * 500, "inputs": [1], "outputs": [1]}
    endpoint = describe({"components": [box], "dependencies": [told]}, None).endpoints[0]
    assert "\x1b" not in str(endpoint)
    assert "\x07" not in str(endpoint)
    assert len(endpoint.slots[0].name) <= 100
    assert len(endpoint.name) <= 100


@pytest.mark.parametrize("most", [{"api_name": "a"}, {"inputs": [1], "outputs": [1]}])
def test_a_large_description_is_read_in_no_time(most: dict[str, Any]) -> None:
    dependencies = [most | ({"api_name": f"a{n}"} if n % 2 else {}) for n in range(1000)]
    started = time.process_time()
    describe({"components": [BOX], "dependencies": dependencies}, None)
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    "huge",
    [
        {"dependencies": [{}] * 100_000},
        {"dependencies": [], "components": [BOX] * 100_000},
        {"dependencies": [{"inputs": [1] * 100_000}]},
        {"dependencies": [{"outputs": [1] * 100_000}]},
    ],
)
def test_a_description_of_more_than_any_page_has_is_bad_output(huge: object) -> None:
    with pytest.raises(StepError) as caught:
        describe(huge, None)
    assert caught.value.kind is ErrorKind.BAD_OUTPUT


@pytest.mark.parametrize(
    ("kind", "box"),
    [("string", "textbox"), ("integer", "number"), ("boolean", "checkbox"), ("object", "json")],
)
def test_a_parameter_of_a_server_without_a_page_is_known_by_its_type(kind: str, box: str) -> None:
    config = {
        "components": [{"id": 1, "type": "api", "props": {}}, {"id": 2, "type": "api", "props": {}}],
        "dependencies": [{"id": 0, "api_name": "turn", "inputs": [1], "outputs": [2]}],
    }
    parameters = [{"parameter_name": "text", "type": {"type": kind}}]
    app = describe(config, {"named_endpoints": {"/turn": {"parameters": parameters}}})
    assert [slot.component for slot in app.functions["/turn"].endpoint.slots] == [box]


@pytest.mark.parametrize(
    ("props", "ends"),
    [
        ({"minimum": 0, "maximum": 120}, (0.0, 120.0)),
        ({"minimum": None, "maximum": "many"}, (None, None)),
        ({"minimum": True, "maximum": 10**400}, (None, None)),
    ],
)
def test_the_ends_of_a_number_are_known(
    props: dict[str, Any], ends: tuple[float | None, float | None]
) -> None:
    component = Component.model_validate({"id": 1, "type": "number", "props": props})
    slot = slot_of(0, component, None)
    assert (slot.least, slot.most) == ends
    slider = slot_of(0, component.model_copy(update={"type": "slider"}), None)
    assert (slider.least, slider.most) == (None, None)
