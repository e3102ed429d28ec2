"""Tables for Gradio's Dataframe, from whatever a person gives."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.gradio_apps import chosen, file, filled, page, refusal

from spacedock.files import payload_of
from spacedock_worker.adapters.binding.coerce import MAX_TABLE, table_of
from spacedock_worker.adapters.faults import CannotFillError
from spacedock_worker.adapters.gradio.description import App

READ = {"api_name": "read", "inputs": [1], "outputs": [2]}
ROWS = [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("given", "headers"),
    [
        (ROWS, ["1", "2"]),
        ("[[1, 2], [3, 4]]", ["1", "2"]),
        ([{"a": 1, "b": 2}, {"a": 3, "b": 4}], ["a", "b"]),
        ('[{"a": 1, "b": 2}, {"a": 3, "b": 4}]', ["a", "b"]),
        ({"a": [1, 3], "b": [2, 4]}, ["a", "b"]),
        ({"headers": ["a", "b"], "data": ROWS}, ["a", "b"]),
        ("a,b\n1,2\n3,4\n", ["a", "b"]),
        ("a\tb\r\n1\t2\r\n3\t4", ["a", "b"]),
        ("a;b\n1;2\n3;4", ["a", "b"]),
        ("1,2\n3,4", ["1", "2"]),
        (b"\xef\xbb\xbfa,b\n1,2\n3,4\n", ["a", "b"]),
    ],
)
def test_rows_records_columns_and_csv_are_tables(given: Any, headers: list[str]) -> None:
    assert table_of(given) == {"headers": headers, "data": ROWS}


@pytest.mark.parametrize(
    ("given", "data"),
    [
        ([1, 2], [[1], [2]]),
        ({"a": 1}, [[1]]),
        ([[1], [2, 3]], [[1, None], [2, 3]]),
        ([{"a": 1}, {"b": 2}], [[1, None], [None, 2]]),
        ("name,n\nAda,1\nBob,\n", [["Ada", 1], ["Bob", None]]),
        ("code\n007x\n1_0\n", [["007x"], ["1_0"]]),
        ("hello", [["hello"]]),
        ("[not json", [["[not json"]]),
        (7, [[7]]),
    ],
)
def test_uneven_and_single_values_become_rows(given: Any, data: list[list[Any]]) -> None:
    assert table_of(given)["data"] == data


def test_the_page_names_the_columns_where_nobody_else_does() -> None:
    assert table_of(ROWS, {"headers": ["x", "y"]})["headers"] == ["x", "y"]
    assert table_of(ROWS, {"headers": ["x"]})["headers"] == ["1", "2"]


def test_a_cell_may_be_long() -> None:
    assert table_of("a,b\n1," + "x" * 200_000)["data"] == [[1, "x" * 200_000]]


@pytest.mark.parametrize("given", ["", "\n\n", b"x" * (MAX_TABLE + 1)])
def test_what_is_no_table_is_refused(given: Any) -> None:
    with pytest.raises(CannotFillError, match="the table"):
        table_of(given)


@pytest.fixture
def reader() -> App:
    return page(READ, Table="dataframe", Count="number")


def test_a_table_comes_by_name_as_the_prompt_or_as_a_file(reader: App) -> None:
    table = {"headers": ["a", "b"], "data": ROWS}
    sent = payload_of("t.csv", b"a,b\n1,2\n3,4\n")
    assert filled(reader, None, Table="a,b\n1,2\n3,4") == (table,)
    assert filled(reader, None, "a,b\n1,2\n3,4") == (table,)
    assert filled(reader, None, "", sent) == (table,)
    assert filled(reader, None, "", sent, Table="t.csv") == (table,)


def test_a_missing_table_says_what_is_one(reader: App) -> None:
    assert "needs a table" in refusal(reader, "", endpoint="/read")
    assert "nothing takes a.png" in refusal(reader, "", file("a.png"))


FORM = {"api_name": "form", "inputs": [1, 2, 3], "outputs": [4]}


def test_boxes_after_the_prompt_are_sent_empty() -> None:
    app = page(FORM, Name="textbox", Note="textbox", Photo="image", Card="textbox")
    assert filled(app, None, "Ada") == ("Ada", "", None)
    assert filled(app, None, Name="Ada") == ("Ada", "", None)
    assert "Name needs a text" in refusal(app, "", Note="kind")


@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        ("number", None), ("radio", None), ("checkboxgroup", []), ("json", None), ("datetime", None),
        ("dataframe", {"headers": [], "data": []}), ("multimodaltextbox", {"text": "", "files": []}),
    ],
)  # fmt: skip
def test_each_kind_of_box_has_its_own_empty_value(kind: str, sent: Any) -> None:
    app = page(FORM, Message="textbox", Note="textbox", Extra=kind, Card="textbox")
    assert filled(app, None, "Ada") == ("Ada", "", sent)


@pytest.mark.parametrize(("one", "two"), [("Text 1", "Text 2"), ("Question", "Context"), ("One", "Two")])
def test_a_pair_is_never_filled_by_half(one: str, two: str) -> None:
    app = page(FORM | {"inputs": [1, 2]}, **{one: "textbox", two: "textbox", "x": "number", "y": "number"})
    assert two in refusal(app, "hi")


def test_a_function_that_needs_no_empty_box_goes_first() -> None:
    say = {"api_name": "f", "inputs": [2], "outputs": [4]}
    app = page(FORM, say, Name="textbox", Note="textbox", Photo="image", Card="textbox")
    assert chosen(app, "Ada") == "/f"
