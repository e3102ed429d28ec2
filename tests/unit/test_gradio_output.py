"""How an endpoint's outputs become text, data without the container's paths, and files."""

from __future__ import annotations

from typing import Any

import pytest

from spacedock.result import ErrorKind, Stage
from spacedock_worker.adapters.gradio.output import MAX_FILES, Reading, read_outputs, safe_name
from spacedock_worker.errors import StepError


def file_data(path: str, name: str | None = None, **more: Any) -> dict[str, Any]:
    meta = {"_type": "gradio.FileData"}
    return {"path": path, "url": f"http://app/file={path}", "orig_name": name, "meta": meta} | more


def read(component: str | None, value: Any) -> Reading:
    return read_outputs([component], [value])


@pytest.mark.parametrize(
    ("component", "value", "text"),
    [
        ("textbox", "hi", "hi"),
        ("textbox", "", ""),
        ("textbox", None, None),
        ("number", 0.5, "0.5"),
        ("number", 3, "3"),
        ("checkbox", True, "true"),
        ("json", {"a": ["ü", 1]}, '{"a":["ü",1]}'),
        ("json", [], None),
        ("label", {"label": "good", "confidences": [{"label": "good", "confidence": 1}]}, "good"),
        ("label", {"label": None}, None),
        ("json", {"label": "good"}, '{"label":"good"}'),
        ("dataframe", {"headers": ["a"], "data": [[1]]}, '{"headers":["a"],"data":[[1]]}'),
        ("textbox", {"__type__": "update", "value": "new", "visible": True}, "new"),
        ("textbox", {"__type__": "update", "visible": False}, None),
        ("chatbot", [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "b"),
        ("chatbot", [["a", "b"], ["c", "d"]], "d"),
        ("chatbot", [{"role": "assistant", "content": [{"type": "text", "text": "b"}]}], "b"),
        ("chatbot", [], None),
    ],
)
def test_the_text_is_what_a_person_would_read(component: str, value: Any, text: str | None) -> None:
    assert read(component, value).text == text


def test_several_outputs_are_lines_and_a_state_is_left_out() -> None:
    reading = read_outputs(["textbox", None, "number"], ["a", {"secret": 1}, 2])
    assert (reading.text, reading.data) == ("a\n2", ["a", 2])


def test_no_path_or_url_of_the_container_is_left_in_the_data() -> None:
    reading = read("image", file_data("/tmp/gradio/abc/cat.png", "my cat.png", mime_type="image/png"))
    assert reading.data == [{"file": "my cat.png", "index": 0}]
    assert reading.text is None
    assert [(f.path, f.name, f.media_type) for f in reading.files] == [
        ("/tmp/gradio/abc/cat.png", "my cat.png", "image/png")
    ]


def test_files_in_galleries_lists_and_wrappers_are_found() -> None:
    gallery = [{"image": file_data("/t/a.png"), "caption": "x"}, {"video": file_data("/t/b.mp4")}]
    video = {"video": file_data("/t/c.mp4"), "subtitles": None}
    reading = read_outputs(["gallery", "file", "video"], [gallery, [file_data("/t/d.txt")], video])
    assert [f.name for f in reading.files] == ["a.png", "b.mp4", "d.txt", "c.mp4"]
    assert reading.text is None


def test_a_file_within_an_update_is_found() -> None:
    assert read("image", {"__type__": "update", "value": file_data("/t/a.png")}).files


def test_files_of_one_name_get_names_of_their_own() -> None:
    reading = read("gallery", [{"image": file_data(f"/t/{n}/image.webp")} for n in range(3)])
    assert [f.name for f in reading.files] == ["image.webp", "image-2.webp", "image-3.webp"]


def test_a_remote_file_is_passed_on_as_text_and_never_fetched() -> None:
    reading = read("image", file_data("http://169.254.169.254/latest/meta-data"))
    assert reading.files == ()
    assert reading.text == "http://169.254.169.254/latest/meta-data"


def test_a_media_type_that_is_none_is_dropped() -> None:
    assert read("file", file_data("/t/a", mime_type="x\r\nSet-Cookie: a")).files[0].media_type is None


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\a.txt", "a.txt"),
        ("a\x00\nb.txt", "ab.txt"),
        ("..", "file"),
        ("/", "file"),
        ("x" * 300 + ".png", "x" * 251 + ".png"),
        ("\ud800.png", "?.png"),
    ],
)
def test_names_are_bare(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_half_a_surrogate_pair_does_not_break_the_result() -> None:
    assert read("textbox", "a\ud800").data == ["a?"]


@pytest.mark.parametrize(
    ("components", "data"),
    [
        (["textbox"], ["a", "b"]),
        (["textbox", "textbox"], ["a"]),
        (["file"], [[file_data(f"/t/{n}") for n in range(MAX_FILES + 1)]]),
    ],
)
def test_outputs_that_do_not_belong_are_bad(components: list[str], data: list[Any]) -> None:
    with pytest.raises(StepError) as caught:
        read_outputs(components, data)
    assert (caught.value.stage, caught.value.kind) == (Stage.OUTPUT, ErrorKind.BAD_OUTPUT)


def test_deep_nesting_is_bad_output() -> None:
    value: Any = 1
    for _ in range(100):
        value = [value]
    with pytest.raises(StepError, match="deeper"):
        read("json", value)
