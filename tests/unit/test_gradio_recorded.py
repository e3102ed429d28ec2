"""Real apps on Gradio 3.35 to 6: what is understood of them, and which endpoint is taken with which data."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.gradio_apps import ALL, NEW, OLD, app_of, chosen, endpoint_of, every, file, filled, refusal

from spacedock_worker.adapters.binding.files import Upload

THREE = ("3.35.2", "3.50.2")
PICTURE, NOTE, OTHER = file("sign.png"), file("note.txt"), file("other.txt")


@pytest.fixture(params=ALL)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=OLD)
def old(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=NEW)
def new(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize(
    ("version", "protocol", "prefix"),
    [
        ("3.35.2", "ws", ""),
        ("3.50.2", "ws", ""),
        ("4.8.0", "sse", ""),
        ("4.44.1", "sse_v3", ""),
        ("6.31.0", "sse_v3", "/gradio_api"),
    ],
)
def test_version_protocol_and_prefix_are_read(version: str, protocol: str, prefix: str) -> None:
    app = app_of("g-state", version)
    assert (app.version, app.protocol, app.prefix, app.old_files) == (
        version,
        protocol,
        prefix,
        protocol == "ws",
    )


@pytest.mark.parametrize(("name", "version"), every())
def test_every_app_can_be_described(name: str, version: str) -> None:
    app = app_of(name, version)
    assert app.endpoints
    assert [endpoint.name for endpoint in app.endpoints] == list(app.functions)


def test_a_function_without_a_name_goes_by_its_index(version: str) -> None:
    names = [endpoint.name for endpoint in app_of("g-unnamed", version).endpoints]
    assert names == (["/fn_index/0", "/fn_index/1"] if version in THREE else ["/swap", "/check"])


def test_inputs_are_called_by_their_labels_before_there_are_names(old: str) -> None:
    app = app_of("g-buttons", old)
    assert [slot.name for slot in endpoint_of(app, "/infer").slots] == [
        "Poem",
        "Separator",
        "Show the total",
    ]


def test_inputs_are_called_by_the_functions_parameters_since(new: str) -> None:
    app = app_of("g-buttons", new)
    assert [slot.name for slot in endpoint_of(app, "/infer").slots] == ["prompt", "separator", "total"]


def test_inputs_without_labels_go_by_their_place(old: str) -> None:
    [endpoint] = app_of("g-noname", old).endpoints
    assert [str(slot) for slot in endpoint.slots] == ["input_0: textbox", "input_1: slider = default"]


def test_buttons_tell_what_calls_a_function(version: str) -> None:
    app = app_of("g-buttons", version)
    called = {e.name: (e.trigger, e.pressed, e.primary) for e in app.endpoints}
    assert called["/toggle"] == ("Options", True, False)
    assert called["/infer"] == ("Count", True, True)
    change = "/fn_index/2" if version in THREE else "/lambda"
    assert called[change] == ("", False, False)


def test_a_button_and_the_enter_key_are_twins(version: str) -> None:
    app = app_of("g-buttons", version)
    assert (endpoint_of(app, "/infer").twin, endpoint_of(app, "/infer_1").twin) == (None, "/infer")


def test_twins_without_a_name_are_known_by_the_enter_key() -> None:
    app = app_of("g-defaults", "3.35.2")
    assert [e.twin for e in app.endpoints if e.name.startswith("/fn_index/")] == ["/predict"] * 3


def test_a_state_keeps_its_place(version: str) -> None:
    [sign] = app_of("g-state", version).endpoints
    assert (sign.width, [slot.position for slot in sign.slots]) == (2, [1])
    assert (sign.stateful, sign.outputs) == (True, (None, "textbox"))
    assert filled(app_of("g-state", version), None, "Ada") == (None, "Ada")


def test_functions_kept_from_the_api_are_hidden(version: str) -> None:
    app = app_of("g-hidden", version)
    assert [(e.name, e.visible) for e in app.endpoints] == [("/fn_index/0", False), ("/fn_index/1", False)]


@pytest.mark.parametrize("version", ["3.50.2", "4.8.0", "4.44.1", "6.31.0"])
def test_the_events_of_a_chat_page_are_hidden_but_for_its_api(version: str) -> None:
    app = app_of("g-chat", version)
    name = "/answer" if version == "6.31.0" else "/chat"
    assert [e.name for e in app.endpoints if e.visible] == [name]
    assert len(app.endpoints) > 5


@pytest.mark.parametrize("version", ALL)
@pytest.mark.parametrize(
    ("space", "call", "three", "four", "six"),
    [
        ("g-unnamed", ("Silent",), "/fn_index/1", "/check", "/check"),
        ("g-buttons", ("an old pond",), "/infer", "/infer", "/infer"),
        ("g-hidden", ("Why?",), "/fn_index/1", "/fn_index/1", "/fn_index/1"),
        ("g-translate", ("hello",), "/fn_index/1", "/translate", "/translate"),
        ("g-noname", ("ha",), "/fn_index/0", "/repeat", "/repeat"),
        ("g-chatbot", ("hi",), "/fn_index/0", "/respond", "/respond"),
        ("g-defaults", ("Ada",), "/predict", "/predict", "/invite"),
        ("g-files", ("", NOTE, OTHER), "/capitals", "/capitals", "/capitals"),
        ("g-vqa", ("What is it?", PICTURE), "/predict", "/predict", "/answer_question"),
        ("g-state", ("Ada",), "/sign", "/sign", "/sign"),
        ("g-chat", ("hi",), "/chat", "/chat", "/answer"),
        ("g-chat-multimodal", ("read", NOTE), "/chat", "/chat", "/answer"),
        ("g-undocumented", ("level",), "/is_palindrome", "/is_palindrome", "/is_palindrome"),
    ],
)
def test_the_endpoint_that_a_person_would_use_is_taken(
    space: str, call: tuple[Any, ...], three: str, four: str, six: str, version: str
) -> None:
    if (space, version) not in every():
        pytest.skip("the app cannot be written for that version")
    expected = {"3": three, "4": four, "6": six}[version[0]]
    assert chosen(app_of(space, version), *call) == expected


def test_the_rest_takes_its_defaults(version: str) -> None:
    data = filled(app_of("g-defaults", version), None, "Ada")
    assert data == ("Ada", "the dock", 12, "warm", "dinner", False, 19, ["cake"])


def test_inputs_go_by_name_or_label_on_every_version(version: str) -> None:
    inputs = {"place": "the bridge", "guests": "3", "formal": "yes", "extras": "music, flowers"}
    data = filled(app_of("g-defaults", version), None, "Ada", **inputs)
    assert data == ("Ada", "the bridge", 3, "warm", "dinner", True, 19, ["music", "flowers"])


def test_a_part_of_a_label_names_an_input_where_nothing_else_has_it(version: str) -> None:
    assert filled(app_of("g-buttons", version), None, "a / b", total="true") == ("a / b", "-", True)


def test_a_choice_that_there_is_not_lists_the_choices(version: str) -> None:
    message = refusal(app_of("g-translate", version), "hello", target_language="Klingon")
    assert "takes one of" in message
    assert "French" in message


def test_a_conversation_begins_empty(version: str) -> None:
    assert filled(app_of("g-chatbot", version), None, "hi") == ("hi", [])


def test_files_fill_a_slot_for_several(version: str) -> None:
    data = filled(app_of("g-files", version), None, "", NOTE, OTHER)
    assert data[0] == [Upload(0), Upload(1)]


def test_a_picture_and_a_question_find_their_slots(version: str) -> None:
    assert filled(app_of("g-vqa", version), None, "What?", PICTURE) == (Upload(0), "What?")
    assert "image needs a file" in refusal(app_of("g-vqa", version), "What?").lower()


def test_functions_that_fit_equally_well_are_listed_with_their_parameters(version: str) -> None:
    message = refusal(app_of("g-data", version), "3 ropes")
    assert "several endpoints fit equally well" in message
    assert "/mood(" in message
    assert 'textbox) by "Mood"' in message
    assert 'textbox) by "Mark"' in message


def test_a_value_by_name_decides_between_functions(version: str) -> None:
    app = app_of("g-data", version)
    assert chosen(app, record='{"a": 1}') == "/kinds"
    assert filled(app, None, record='{"a": 1}') == ({"a": 1},)
