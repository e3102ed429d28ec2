"""The examples of Gradio pages, as Gradio 3 to 6 describe them."""

from __future__ import annotations

from typing import Any

import pytest

from spacedock_worker.adapters.gradio.description import describe


def config(samples: Any, fills: list[int], default: float | None = 3) -> dict[str, Any]:
    """A page with a text, a number and a picture, and one table of examples that fills some of them."""
    components = [
        {"id": 1, "type": "textbox", "props": {"label": "Text"}},
        {"id": 2, "type": "slider", "props": {"label": "Shift", "value": default}},
        {"id": 3, "type": "image", "props": {"label": "Picture"}},
        {"id": 4, "type": "textbox", "props": {"label": "Answer"}},
        {"id": 9, "type": "dataset", "props": {"samples": samples}},
    ]
    dependencies = [
        {"api_name": "go", "inputs": [1, 2, 3], "outputs": [4], "targets": [[8, "click"]]},
        {"api_name": "load_example", "inputs": [9], "outputs": fills, "targets": [[9, "click"]]},
    ]
    return {"version": "5.0.0", "components": components, "dependencies": dependencies}


@pytest.mark.parametrize(
    ("samples", "fills", "default", "example"),
    [
        ([["veni", 3], ["vidi", 5]], [1, 2], None, {"Text": "veni", "Shift": 3}),
        ([["veni", 3, {"path": "/tmp/x.png"}]], [1, 2, 3], None, {"Text": "veni", "Shift": 3}),
        (["veni"], [1, 4], 3, {"Text": "veni"}),
        ([["veni"]], [1], None, None),
        ([[""]], [1], 3, None),
        ([["x" * 3000]], [1], 3, None),
        ([[None, 3]], [1, 2], 3, None),
        ([], [1], 3, None),
        ("nonsense", [1], 3, None),
    ],
)
def test_an_example_is_taken_where_it_fills_the_call(samples, fills, default, example) -> None:
    app = describe(config(samples, fills, default), None)
    assert app.functions["/go"].endpoint.example == example
