"""The calls that send or bring back files and data: pictures, sounds, films, models, tables."""

from __future__ import annotations

from tests.compat.case import Case, Official, Upload
from tests.compat.checks import (
    data,
    fixture,
    is_picture,
    label,
    length,
    marked,
    mentions,
    one_file,
    path_where,
    path_with,
    pictures,
    returned,
    sound,
    table,
)

from spacedock_worker.adapters.base import AppAnswer

NO_MULTIMODAL = {
    "3.35.2": "there is no gr.ChatInterface",
    "3.50.2": "gr.ChatInterface has no multimodal",
    "4.8.0": "gr.ChatInterface has no multimodal",
}
NO_GALLERY_IN = {
    "3.35.2": "gr.Gallery cannot be an input",
    "3.50.2": "gr.Gallery cannot be an input",
    "4.8.0": "gr.Gallery hands its inner model to the function instead of pictures",
}

SIGN = Upload("sign.png")
NUMBERED = b"1: first line\n2: second line\n3: third line\n"
LOUD = [fixture(name).upper() for name in ("note.txt", "table.csv")]
ROWS = [["rope", 2.5, 4], ["anchor", 90, 1]]
TOTALS = [["rope", 2.5, 4.0, 10.0], ["anchor", 90.0, 1.0, 90.0]]


def _copies(prefix: str, answer: AppAnswer) -> bool:
    named = all(file.ref.name.startswith(prefix) for file in answer.files)
    return named and [file.data for file in answer.files] == LOUD and answer.text == "2 files"


def _enlarged(answer: AppAnswer) -> bool:
    [file] = answer.files
    return file.ref.name == "large.obj" and b"v 2 2 2\n" in file.data


FILES = (
    Case(
        "g-file",
        "a file in and a file out",
        files=("note.txt",),
        check=one_file(".txt", NUMBERED),
        official=Official((Upload("note.txt"),), "/predict", "/number_lines", check=path_with(NUMBERED)),
    ),
    Case(
        "g-files",
        "several files in and out",
        files=("note.txt", "table.csv"),
        check=lambda answer: _copies("loud-", answer),
        official=Official(
            ([Upload("note.txt"), Upload("table.csv")], "loud-"), "/capitals", check=path_with(LOUD[0])
        ),
    ),
    Case(
        "g-files",
        "an option beside files",
        files=("note.txt", "table.csv"),
        inputs={"prefix": "big-"},
        check=lambda answer: _copies("big-", answer),
        official=Official(
            ([Upload("note.txt"), Upload("table.csv")], "big-"), "/capitals", check=path_with(LOUD[0])
        ),
    ),
    Case(
        "g-chat-multimodal",
        "a message with a file",
        prompt="read this please",
        files=("note.txt",),
        text="3 words and note.txt (34 bytes)",
        lacks=NO_MULTIMODAL,
        official=Official(({"text": "read this please", "files": [Upload("note.txt")]},), "/chat", "/answer"),
    ),
    Case(
        "g-chat-multimodal",
        "a message without a file",
        prompt="hello there",
        text="2 words and no file",
        lacks=NO_MULTIMODAL,
        official=Official(({"text": "hello there", "files": []},), "/chat", "/answer"),
    ),
    Case(
        "g-model3d",
        "a 3D model in and out",
        files=("cube.obj",),
        check=_enlarged,
        official=Official(
            (Upload("cube.obj"),),
            "/predict",
            "/enlarge",
            check=path_where(lambda content: b"v 2 2 2\n" in content),
        ),
    ),
)

PICTURES = (
    Case(
        "g-image",
        "a picture in and a picture out",
        files=("sign.png",),
        check=pictures(1),
        official=Official((SIGN,), "/predict", "/mirror", check=path_where(is_picture)),
    ),
    Case(
        "g-vqa",
        "a question about a picture",
        prompt="What size is it?",
        files=("sign.png",),
        text="It is 640 by 240 pixels.",
        official=Official((SIGN, "What size is it?"), "/predict", "/answer_question"),
    ),
    Case(
        "g-vqa",
        "a question about colours",
        prompt="Which colour is it?",
        files=("sign.png",),
        text="It is mostly blue.",
        official=Official((SIGN, "Which colour is it?"), "/predict", "/answer_question"),
    ),
    Case(
        "g-gallery",
        "pictures with captions",
        files=("sign.png",),
        check=pictures(3, "red", "green", "blue"),
        official=Official((SIGN,), "/channels", check=mentions("red", "green", "blue")),
    ),
    Case(
        "g-gallery-in",
        "a gallery of two pictures",
        files=("sign.png", "dot.png"),
        text="no caption: 640 x 240; no caption: 32 x 24",
        lacks=NO_GALLERY_IN,
        official=Official(
            ([{"image": SIGN, "caption": None}, {"image": Upload("dot.png"), "caption": None}],), "/sizes"
        ),
    ),
    Case(
        "g-editor",
        "a picture to paint on",
        files=("sign.png",),
        text="A picture of 640 x 240",
        official=Official(({"background": SIGN, "layers": [], "composite": None},), "/predict", "/describe"),
    ),
    Case(
        "g-plot",
        "a drawn plot",
        prompt="a sentence of vowels",
        check=pictures(1),
        official=Official(("a sentence of vowels",), "/predict", "/draw", check=mentions("matplotlib")),
    ),
)

SOUNDS = (
    Case(
        "g-audio",
        "a sound in",
        files=("hello.wav",),
        text="3.01\n16000 Hz",
        official=Official((Upload("hello.wav"),), "/measure", check=returned(3.01, "16000 Hz")),
    ),
    Case(
        "g-audio",
        "a sound out",
        prompt="space",
        check=sound(0.5),
        official=Official(
            ("space",), "/play", check=path_where(lambda content: abs(length(content) - 0.5) < 0.01)
        ),
    ),
    Case(
        "g-video",
        "a film in and out",
        files=("dot.mp4",),
        check=one_file("copy.mp4", fixture("dot.mp4"), text="1669 bytes"),
        official=Official(
            ({"video": Upload("dot.mp4"), "subtitles": None},),
            "/predict",
            "/copy",
            check=path_with(fixture("dot.mp4")),
            six_args=(Upload("dot.mp4"),),
        ),
    ),
)

DATA = (
    Case(
        "g-data",
        "JSON in and out",
        inputs={"record": {"name": "Ada", "born": 1815, "tags": []}},
        check=data({"name": "str", "born": "int", "tags": "list"}),
        official=Official(
            ({"name": "Ada", "born": 1815, "tags": []},),
            "/kinds",
            check=returned({"name": "str", "born": "int", "tags": "list"}),
        ),
    ),
    Case(
        "g-data",
        "a table in and out",
        inputs={"table": {"headers": ["name", "price", "count"], "data": ROWS}},
        check=table(["name", "price", "count", "total"], TOTALS),
        official=Official(
            ({"headers": ["name", "price", "count"], "data": ROWS, "metadata": None},),
            "/totals",
            check=mentions("total", "anchor"),
        ),
    ),
    Case(
        "g-data",
        "a label out",
        prompt="a good and great day",
        endpoint="/mood",
        check=label("positive", positive=0.75, negative=0.25),
        official=Official(("a good and great day",), "/mood", check=mentions("positive", "0.75")),
    ),
    Case(
        "g-data",
        "marked words out",
        prompt="3 ropes and 1 anchor",
        endpoint="/mark",
        check=marked("3", "1"),
        official=Official(("3 ropes and 1 anchor",), "/mark", check=mentions("ropes", "number")),
    ),
)
