"""How an endpoint's outputs become text, data without the container's paths, and files."""

from __future__ import annotations

import base64
import time
from typing import Any

import pytest

from spacedock.result import ErrorKind, Stage
from spacedock_worker.adapters.faults import MAX_FILES
from spacedock_worker.adapters.gradio.output import OutputReading, read_outputs
from spacedock_worker.adapters.names import safe_name
from spacedock_worker.errors import StepError


def file_data(path: str, name: str | None = None, **more: Any) -> dict[str, Any]:
    meta = {"_type": "gradio.FileData"}
    return {"path": path, "url": f"http://app/file={path}", "orig_name": name, "meta": meta} | more


def read(component: str | None, value: Any) -> OutputReading:
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
        ("dataframe", {"headers": ["a"], "data": [[1]]}, "a\n1"),
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


PNG = "data:image/png;base64," + base64.b64encode(b"PNG").decode()


def old_file(name: str | None, **more: Any) -> dict[str, Any]:
    """A file as Gradio 3 gives it."""
    return {"name": name, "data": None, "is_file": True} | more


@pytest.mark.parametrize("component", ["image", "plot", "gallery", "chatbot"])
def test_a_picture_within_the_data_is_a_file(component: str) -> None:
    reading = read(component, PNG)
    assert reading.data == [{"file": "output.png", "index": 0}]
    assert [(f.path, f.name, f.media_type, f.data) for f in reading.files] == [
        ("", "output.png", "image/png", b"PNG")
    ]


@pytest.mark.parametrize("component", ["textbox", "markdown", "html", "code", "json", "label", "dataframe"])
def test_words_that_look_like_a_picture_stay_words(component: str) -> None:
    assert (read(component, PNG).data, read(component, PNG).files) == ([PNG], ())


@pytest.mark.parametrize("tail", ["!", "abc", "=", "YQ==\n", "\u00fc"])
def test_a_picture_that_is_no_base64_is_bad_output(tail: str) -> None:
    with pytest.raises(StepError, match="base64"):
        read("image", "data:image/png;base64," + tail)


@pytest.mark.parametrize(
    "url", ["data:image/png,plain", "data:;base64,YQ==", "data:image/png;charset=x;base64,YQ==", "data:"]
)
def test_a_data_url_of_another_kind_stays_a_text(url: str) -> None:
    assert read("image", url).data == [url]


@pytest.mark.parametrize(
    ("value", "path", "name"),
    [
        (old_file("/tmp/a/cat.png"), "/tmp/a/cat.png", "cat.png"),
        (old_file("/tmp/a/x1.png", orig_name="my cat.png"), "/tmp/a/x1.png", "my cat.png"),
        (old_file("cat.png", data=PNG, is_file=False), "", "output.png"),
        (old_file(None, data=PNG, is_file=False, orig_name="cat.png"), "", "cat.png"),
        (old_file("", data=PNG), "", "output.png"),
    ],
)
def test_files_of_gradio_3_are_found(value: dict[str, Any], path: str, name: str) -> None:
    reading = read("file", value)
    assert [(f.path, f.name) for f in reading.files] == [(path, name)]
    assert reading.data == [{"file": name, "index": 0}]


@pytest.mark.parametrize(
    "value",
    [
        old_file(None),
        old_file("", data=""),
        {"name": "x", "data": None, "is_file": None},
        {"name": 3, "data": None, "is_file": True},
        {"name": "x", "is_file": "yes"},
        {"path": "/tmp/a"},
        {"path": "/tmp/a", "url": "x"},
        {"path": "", "meta": {"_type": "gradio.FileData"}},
        {"path": 3, "meta": {"_type": "gradio.FileData"}},
        {"path": "/tmp/a", "meta": {"_type": "other"}},
        {"path": "/tmp/a", "meta": "gradio.FileData"},
    ],
)
def test_what_only_looks_like_a_file_stays_data(value: dict[str, Any]) -> None:
    assert (read("json", value).files, read("json", value).data) == ((), [value])


def test_a_gallery_of_gradio_3_pairs_files_with_captions() -> None:
    reading = read("gallery", [[old_file("/t/a.png"), "red"], [old_file("/t/b.png"), None]])
    assert [f.name for f in reading.files] == ["a.png", "b.png"]
    assert reading.text is None


def test_a_remote_file_of_gradio_3_is_passed_on() -> None:
    reading = read("image", old_file("http://169.254.169.254/latest"))
    assert (reading.files, reading.text) == ((), "http://169.254.169.254/latest")


def test_an_empty_text_beside_others_is_left_out() -> None:
    assert read_outputs(["textbox", "textbox"], ["", "a"]).text == "a"
    assert read_outputs(["textbox", "textbox"], ["", ""]).text == ""
    assert read_outputs(["textbox", "image"], ["", None]).text == ""
    assert read_outputs(["image"], [None]).text is None
    assert read_outputs([], []).text is None


def test_a_plot_of_numbers_has_no_text() -> None:
    assert read("plot", {"type": "plotly", "plot": "{}"}).text is None


@pytest.mark.parametrize("component", ["json", "dataframe", "gallery", "chatbot"])
def test_a_large_answer_is_read_in_no_time(component: str) -> None:
    rows = [{"name": f"row {n}", "n": n} for n in range(20_000)]
    started = time.process_time()
    read(component, rows)
    assert time.process_time() - started < 2


def test_half_a_surrogate_pair_in_a_path_is_replaced() -> None:
    assert read("file", file_data("/t/\ud800.png")).files[0].path == "/t/?.png"


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
