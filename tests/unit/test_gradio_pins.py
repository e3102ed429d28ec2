"""Gradio's pins are those that docs/compatibility.md has tried, at both sides of each edge."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from tests.minors.try_minors import ranges
from tests.page import PAGE

from spacedock_worker.images.build.dockerfile import PINS, gradio_packages


def table(section: str) -> list[list[str]]:
    found = re.search(rf"<!-- begin {section} -->\n(.*?)<!-- end {section} -->", PAGE.read_text(), re.DOTALL)
    assert found is not None
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in found[1].splitlines()]
    return rows[2:]


def minor(version: str) -> tuple[int, int]:
    first, second = version.split(".")[:2]
    return int(first), int(second)


TRIED = {row[0]: row[1:] for row in table("gradio-minors")}
MINORS = {minor(version) for version in TRIED}


@pytest.mark.parametrize("version", TRIED)
def test_what_was_tried_is_what_is_built(version: str) -> None:
    held, *cells = TRIED[version]
    assert held == (", ".join(gradio_packages(version)[1:]) or "·")
    assert cells == ["yes"] * 5


@pytest.mark.parametrize(("first", "last"), [((3, 35), (3, 50)), ((4, 0), (4, 44)), ((5, 0), (5, 50))])
def test_every_fifth_minor_was_tried(first: tuple[int, int], last: tuple[int, int]) -> None:
    tried = sorted(number for major, number in MINORS if major == first[0])
    assert (tried[0], tried[-1]) == (first[1], last[1])
    # Gradio left some minors out (4.30, 5.2): the next one stands for it.
    assert all(after - before <= 6 for before, after in pairwise(tried))


@pytest.mark.parametrize("edge", [below for below, _ in PINS])
def test_both_sides_of_an_edge_were_tried(edge: tuple[int, int]) -> None:
    before = max(one for one in MINORS if one < edge)
    after = min(one for one in MINORS if one >= edge)
    # There is no 5.2.
    assert before in {(edge[0], edge[1] - 1), (3, 50), (5, 1)}
    assert after == edge


@pytest.mark.parametrize("row", table("gradio-edges"), ids=lambda row: row[0])
def test_what_was_left_away_at_an_edge_is_held_back_there(row: list[str]) -> None:
    version, _, pin = row[0].partition(" without ")
    assert pin in gradio_packages(version)


@pytest.mark.parametrize("edge", [below for below, _ in PINS])
def test_the_last_version_before_an_edge_needs_a_pin_that_ends_there(edge: tuple[int, int]) -> None:
    failed = {minor(row[0]) for row in table("gradio-edges") if "NO" in row}
    # What begins at 4.0 is wanted by later versions of 4.
    assert edge == (4, 0) or max(one for one in MINORS if one < edge) in failed


def test_the_page_has_the_ranges_as_they_are() -> None:
    found = re.search(r"<!-- begin gradio-ranges -->\n(.*?)\n<!-- end", PAGE.read_text(), re.DOTALL)
    assert found is not None
    assert found[1] == ranges()
