"""Outputs that are more than text: what people read of them, and the files that they become."""

from __future__ import annotations

import json
from typing import Any

import pytest

from spacedock_worker.adapters.gradio.description import describe
from spacedock_worker.adapters.gradio.output import read_outputs
from spacedock_worker.adapters.gradio.transport import refusal
from spacedock_worker.adapters.http import AppRefusedError

STREAM = {
    "path": "abc/140/3/playlist.m3u8",
    "is_stream": True,
    "orig_name": "audio-stream.mp3",
    "meta": {"_type": "gradio.FileData"},
}


@pytest.mark.parametrize(
    ("component", "value", "text"),
    [
        ("dataframe", {"headers": ["a", "b"], "data": [[1, None], ["x,y", 2]]}, 'a,b\n1,\n"x,y",2'),
        ("highlightedtext", [{"token": "Ada", "class_or_confidence": "person"}], "Ada [person]"),
        ("highlightedtext", [["Ada", "person"], [" sings", None]], "Ada [person] sings"),
        ("dialogue", [{"speaker": "A", "text": "hi"}, {"speaker": "B", "text": "ho"}], "A: hi\nB: ho"),
        ("json", {"role": "assistant", "content": "Tea?", "options": [{"value": "yes"}]}, "Tea?\n- yes"),
        ("multimodaltextbox", {"text": "look", "files": []}, "look"),
        ("multimodaltextbox", {"text": "", "files": []}, None),
        ("chatbot", [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "one"},
                     {"role": "assistant", "content": [{"type": "text", "text": "two"}]}], "one\ntwo"),
        ("chatbot", [{"role": "assistant", "content": "hm", "metadata": {"title": "Thinking"}},
                     {"role": "assistant", "content": "done", "metadata": {}}], "done"),
        ("chatbot", [["before", "then"], ["hi", "one"], [None, "two"]], "one\ntwo"),
        ("chatbot", [{"role": "user", "content": "hi"}], None),
        ("chatbot", [{"role": "assistant", "content": {"component": "html", "value": "<b>b</b>"}}], "b"),
        ("chatbot", [["hi", {"component": "label", "value": {"label": "cat"}}]], "cat"),
        ("chatbot", [{"role": "assistant", "content": "Tea?", "options": [{"value": "y", "label": "Yes"}]}],
         "Tea?\n- Yes"),
    ],
)  # fmt: skip
def test_they_read_as_text(component: str, value: Any, text: str) -> None:
    assert read_outputs([component], [value]).text == text


@pytest.mark.parametrize(
    ("component", "value"),
    [
        ("dataframe", {"headers": 3, "data": None}),
        ("dataframe", {"headers": [], "data": [3]}),
        ("highlightedtext", [3]),
        ("dialogue", {"speaker": 1}),
        ("json", {"role": "x", "content": [3], "options": 5}),
    ],
)
def test_other_shapes_do_no_harm(component: str, value: Any) -> None:
    assert read_outputs([component], [value]).files == ()


def test_a_table_comes_as_csv_too() -> None:
    reading = read_outputs(["dataframe"], [{"headers": ["a"], "data": [[1]]}])
    assert [(file.name, file.data, file.media_type) for file in reading.files] == [
        ("table.csv", b"a\n1\n", "text/csv")
    ]


@pytest.mark.parametrize(
    ("component", "value", "name"),
    [
        ("plot", {"type": "plotly", "plot": '{"data": []}'}, "plotly.json"),
        ("plot", {"type": "../x", "plot": "{}"}, "x.json"),
        ("nativeplot", {"columns": ["n"], "data": [[1]], "chart": "line"}, "plot.json"),
    ],
)
def test_a_plot_comes_as_its_specification(component: str, value: Any, name: str) -> None:
    reading = read_outputs([component], [value])
    (file,) = reading.files
    assert (reading.text, file.name, file.media_type) == (None, name, "application/json")
    assert json.loads(file.data or b"") is not None


def test_a_plot_of_a_table_says_what_is_on_its_axes() -> None:
    props = {"x": "day", "y": "a.b", "color": None}
    components = [{"id": 1, "type": "textbox"}, {"id": 2, "type": "nativeplot", "props": props}]
    draw = {"id": 0, "api_name": "draw", "inputs": [1], "outputs": [2]}
    function = describe({"components": components, "dependencies": [draw]}, None).functions["/draw"]
    table = {"columns": ["day", "a.b"], "data": [["Mon", 1], ["Tue", 2], 3]}
    told = table | {"datatypes": {"day": "nominal", "a.b": "quantitative"}, "mark": "line"}
    [file] = read_outputs(function.endpoint.outputs, [told], function.axes).files
    drawn = json.loads(file.data or b"")
    assert drawn["data"] == {"values": [{"day": "Mon", "a.b": 1}, {"day": "Tue", "a.b": 2}]}
    assert drawn["mark"] == "line"
    assert drawn["encoding"] == {
        "x": {"field": "day", "type": "nominal"},
        "y": {"field": "a\\.b", "type": "quantitative"},
    }


def test_a_streamed_output_is_fetched_as_one_file() -> None:
    (file,) = read_outputs(["audio"], [STREAM]).files
    assert (file.streamed, file.path, file.name) == (True, "abc/140/3/playlist-file", "audio-stream.mp3")


@pytest.mark.parametrize("path", ["../x/1/playlist.m3u8", "a/b/c/playlist.m3u8", "/etc/passwd"])
def test_no_other_path_is_a_stream(path: str) -> None:
    (file,) = read_outputs(["audio"], [STREAM | {"path": path}]).files
    assert (file.streamed, file.path) == (False, path)


def test_a_validator_says_no_in_words() -> None:
    rows = [{"__type__": "validate", "is_valid": False, "message": "Too young", "parameter_name": "age"}]
    assert str(refusal(AppRefusedError(422, rows))) == "the app does not take age: Too young"
    assert str(refusal(AppRefusedError(422, {"detail": rows}))) == "the app does not take age: Too young"
    assert "HTTP 422" in str(refusal(AppRefusedError(422, [3])))


def test_a_component_in_a_chat_is_read_once_as_what_it_is() -> None:
    file = GIVEN | {"meta": {"_type": "gradio.FileData"}}
    drawn = {"component": "file", "value": [file], "props": {"value": file}}
    table = {"component": "dataframe", "value": {"headers": ["a"], "data": [[1]]}, "props": {}}
    said = [{"role": "assistant", "content": [drawn, table]}]
    reading = read_outputs(["chatbot"], [said])
    assert [file.name for file in reading.files] == ["it.png", "table.csv"]
    assert reading.text == "a\n1"
    assert "/tmp" not in json.dumps(reading.data)


OWN = {"path": "/tmp/me.png", "orig_name": "me.png", "meta": {"_type": "gradio.FileData"}}
GIVEN = {"path": "/tmp/it.png", "orig_name": "it.png", "meta": {"_type": "gradio.FileData"}}


@pytest.mark.parametrize(
    "conversation",
    [
        [{"role": "user", "content": {"file": OWN}}, {"role": "assistant", "content": {"file": GIVEN}}],
        [{"role": "user", "content": [{"type": "file", "file": OWN}]},
         {"role": "assistant", "content": [{"type": "file", "file": GIVEN}]}],
        [[OWN, None], ["what is it?", GIVEN]],
        {"__type__": "update", "value": [[{"file": OWN}, {"file": GIVEN}]]},
    ],
)  # fmt: skip
def test_the_users_own_file_is_no_answer(conversation: Any) -> None:
    reading = read_outputs(["chatbot"], [conversation])
    assert [file.name for file in reading.files] == ["it.png"]
    assert "/tmp" not in json.dumps(reading.data)
