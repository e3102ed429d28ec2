"""Every component that is no plain text, as the answer of a real app: what people read, and the files.

It builds for minutes, with four libraries that draw: only in `make test-full`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from spacedock_worker.adapters.base import AnswerLimits, AppAnswer, AppCall
from spacedock_worker.adapters.gradio.adapter import GradioAdapter
from spacedock_worker.adapters.gradio.connection import connect
from spacedock_worker.adapters.gradio.direct import LearnedEndpoints
from spacedock_worker.adapters.http import AppHttp
from spacedock_worker.errors import UnexplainedError

RunningApp = Callable[[str, str], Awaitable[str]]


@pytest.fixture
async def app(pytestconfig: pytest.Config, running_app: RunningApp) -> AsyncIterator[GradioAdapter]:
    if not pytestconfig.getoption("--all-versions"):
        pytest.skip("builds for long: make test-full")
    http = AppHttp(await running_app("g-answers", "6.31.0"))
    # On a busy host its page may take longer than the adapter waits for it.
    for _ in range(10):
        if (adapter := await connect(http, LearnedEndpoints(), AnswerLimits())) is not None:
            break
    assert adapter is not None
    yield adapter
    await adapter.aclose()


async def ask(app: GradioAdapter, endpoint: str, prompt: str = "one three") -> AppAnswer:
    return await app.call(AppCall(prompt, endpoint=f"/{endpoint}"), lambda text, partial=None: None)


@pytest.mark.parametrize(
    ("endpoint", "text", "files"),
    [
        ("marked", "onethree [long]", []),
        ("entities", "one [FIRST] three", []),
        ("difference", "o [-]ne three [+]", []),
        ("dialogue", "A: one three\nB: eerht eno", []),
        ("gallery", None, ["image.webp", "image-2.webp"]),
        ("annotated", None, ["image.webp", "image.png"]),
        ("label", "one", []),
        ("sure", "one three", []),
        ("model", None, ["shape.obj"]),
        ("download", None, ["words.txt"]),
        ("multimodal", "ONE THREE", ["words.txt"]),
        ("slider", None, ["image.webp", "image-2.webp"]),
        ("code", "print('one three')", []),
        ("json", '{"words":["one","three"]}', []),
        ("page", "Dear one three", []),
        ("colour", "#008080", []),
        ("when", "1970-01-01 00:00:00", []),
        ("matplotlib", None, ["output.webp"]),
    ],
)
async def test_an_answer_is_read_and_saved(
    app: GradioAdapter, endpoint: str, text: str | None, files: list[str]
) -> None:
    answer = await ask(app, endpoint)
    assert (answer.text, [file.ref.name for file in answer.files]) == (text, files)


@pytest.mark.parametrize(
    ("endpoint", "name", "key"),
    [
        ("plotly", "plotly.json", "data"),
        ("altair", "altair.json", "mark"),
        ("bokeh", "bokeh.json", "doc"),
        ("lines", "plot.json", "encoding"),
        ("bars", "plot.json", "encoding"),
    ],
)
async def test_a_plot_is_saved_as_its_specification(
    app: GradioAdapter, endpoint: str, name: str, key: str
) -> None:
    answer = await ask(app, endpoint)
    [file] = [file for file in answer.files if file.ref.name == name]
    assert key in json.loads(file.data)


@pytest.mark.parametrize(
    ("prompt", "text", "files"),
    [
        ("hello", "hello 0", ["image.webp"]),
        ("table", "a,b\n1,2\n3,4", ["table.csv"]),
        ("thoughts", "done", []),
        ("plot", None, ["output.webp"]),
    ],
)
async def test_a_chat_answers_as_its_page_does(
    app: GradioAdapter, prompt: str, text: str | None, files: list[str]
) -> None:
    for _ in range(2):
        answer = await ask(app, "chat", prompt)
        assert (answer.text, [file.ref.name for file in answer.files]) == (text, files)


async def test_a_chat_that_fails_either_way_fails(app: GradioAdapter) -> None:
    with pytest.raises(UnexplainedError):
        await ask(app, "chat", "fail")
