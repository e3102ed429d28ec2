"""What the adapter understands of real apps' `/config` and `/info`, and of apps that are not well."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spacedock.result import ErrorKind
from spacedock_worker.adapters.gradio.description import App, Endpoint, describe
from spacedock_worker.errors import StepError

DATA = Path(__file__).parent / "data" / "gradio"
VERSIONS = ("5.50.0", "6.31.0")


def recorded(name: str, version: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((DATA / f"{name}-{version}.json").read_text())
    return loaded


def app_of(name: str, version: str) -> App:
    told = recorded(name, version)
    return describe(told["config"], told["info"])


def endpoint_of(app: App, name: str) -> Endpoint:
    return next(endpoint for endpoint in app.endpoints if endpoint.name == name)


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
def test_hidden_endpoints_can_be_named_and_private_ones_are_not_there(version: str) -> None:
    app = app_of("media", version)
    assert not endpoint_of(app, "/hidden").visible
    assert not any("private" in endpoint.name for endpoint in app.endpoints)
    assert not any(endpoint.name == "/False" for endpoint in app.endpoints)


@pytest.mark.parametrize("version", VERSIONS)
def test_choices_lists_and_file_types_are_read(version: str) -> None:
    app = app_of("media", version)
    colours = endpoint_of(app, "/pick").slots[0]
    assert (colours.choices, colours.many) == ((("Blue", "b"), ("Red", "r")), True)
    assert endpoint_of(app, "/read").slots[0].accepts == (".pdf", "image")
    assert endpoint_of(app_of("components", version), "/sizes").slots[0].many


@pytest.mark.parametrize(("version", "wrapped"), [("5.50.0", True), ("6.31.0", False)])
def test_only_gradio_5_wraps_a_video(version: str, wrapped: bool) -> None:
    assert endpoint_of(app_of("media", version), "/watch").slots[0].wrapped is wrapped


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
