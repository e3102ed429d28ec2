"""Components that people wrote: what a caller can fill them with follows from what Gradio tells."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.gradio_apps import file, filled, refusal

from spacedock_worker.adapters.binding.files import Upload
from spacedock_worker.adapters.gradio.description import App, describe

FILE = {
    "title": "FileData",
    "type": "object",
    "properties": {"path": {}, "url": {}, "orig_name": {}, "meta": {}},
}


def app(*boxes: tuple[str, Any], **props: Any) -> App:
    """A page with one function that takes these components, given by their type and schema."""
    components = [
        {"id": number, "type": kind, "api_info": schema, "props": props}
        for number, (kind, schema) in enumerate(boxes)
    ]
    output = {"id": len(boxes), "type": "textbox"}
    event = {"api_name": "go", "inputs": list(range(len(boxes))), "outputs": [len(boxes)]}
    return describe({"version": "5.50.0", "components": [*components, output], "dependencies": [event]}, None)


def test_a_component_that_is_sent_a_string_takes_the_prompt() -> None:
    assert filled(app(("richtext", {"type": "string"})), None, "hello") == ("hello",)
    optional = {"anyOf": [{"type": "string"}, {"type": "null"}]}
    assert filled(app(("memotext", optional)), None, "hello") == ("hello",)


def test_gradios_own_textbox_comes_before_it() -> None:
    both = app(("calendar", {"type": "string"}), ("textbox", {"type": "string"}), value="a")
    assert filled(both, None, "hello") == ("a", "hello")


def test_a_colour_is_no_prompt() -> None:
    assert "takes no text" in refusal(app(("colorpicker", {"type": "string"})), "hello")


@pytest.mark.parametrize(
    ("schema", "given", "sent"),
    [
        ({"type": "number"}, "2.5", 2.5),
        ({"type": "boolean"}, "yes", True),
        ({"type": "string", "enum": ["low", "high"]}, "high", "high"),
        ({"type": "array", "items": {"type": "number"}}, "[20, 30]", [20, 30]),
    ],
)
def test_other_values_are_read_by_their_schema(schema: dict[str, Any], given: str, sent: Any) -> None:
    assert filled(app(("dial", schema), label="value"), None, value=given) == (sent,)


def test_a_value_that_its_schema_does_not_list_is_refused() -> None:
    steps = app(("steps", {"type": "string", "enum": ["low", "high"]}), label="steps")
    assert "takes one of low, high" in refusal(steps, steps="middle")


def test_a_component_of_a_file_takes_the_file() -> None:
    assert filled(app(("molecule3d", FILE)), None, "", file("a.pdb")) == (Upload(0),)
    several = app(("audiogrid", {"type": "array", "items": FILE}))
    assert filled(several, None, "", file("a.wav"), file("b.wav")) == ([Upload(0), Upload(1)],)


def test_a_picture_with_points_beside_it_is_sent_without_any() -> None:
    picture = {**FILE, "title": "ImageData"}
    schema = {"type": "object", "properties": {"image": picture, "points": {"type": "array"}, "note": {}}}
    sent = filled(app(("imageprompter", schema)), None, "", file("a.png"))
    assert sent == ({"image": Upload(0), "points": [], "note": None},)
    assert "nothing takes" in refusal(app(("imageprompter", schema)), "", file("a.wav"))


def test_a_file_may_stand_among_the_definitions_of_a_schema() -> None:
    refers = {"$ref": "#/$defs/FileData"}
    known = {"$defs": {"FileData": FILE}}
    prompter = {**known, "type": "object", "properties": {"image": refers, "points": {"type": "array"}}}
    assert filled(app(("imageprompter", prompter)), None, "", file("a.png")) == (
        {"image": Upload(0), "points": []},
    )
    several = {**known, "type": "array", "items": refers}
    assert filled(app(("audiogrid", several)), None, "", file("a.wav")) == ([Upload(0)],)
    lost = {"type": "object", "properties": {"image": {"$ref": "#/$defs/Gone"}}}
    assert "nothing takes" in refusal(app(("imageprompter", lost)), "", file("a.png"))


def test_a_pair_of_pictures_is_filled_from_the_left() -> None:
    pair = app(("imageslider", {"type": "array"}))
    assert filled(pair, None, "", file("a.png")) == ([Upload(0), None],)
    assert filled(pair, None, "", file("a.png"), file("b.png")) == ([Upload(0), Upload(1)],)


def test_a_slider_that_nobody_moved_is_at_its_lower_end() -> None:
    slider = app(("slider", None), ("textbox", None), minimum=3)
    assert filled(slider, None, "hello") == (3, "hello")


def test_a_browser_of_files_may_have_nothing_chosen() -> None:
    assert filled(app(("fileexplorer", {"type": "array"}), ("textbox", None)), None, "hello") == (
        None,
        "hello",
    )


def test_a_prompt_can_be_a_choice_or_a_number_in_the_place_of_the_one_set() -> None:
    style = app(("radio", None), choices=["light", "dark"], value="light", label="style")
    assert filled(style, None, "dark") == ("dark",)
    assert filled(style, None, "") == ("light",)
    assert "takes no text" in refusal(style, "blue")
    steps = app(("slider", None), minimum=1, value=4, label="steps")
    assert filled(steps, None, "7") == (7,)


def test_a_prompt_that_fits_two_settings_is_refused() -> None:
    two = app(("slider", None), ("slider", None), value=4)
    assert "takes no text" in refusal(two, "7")
