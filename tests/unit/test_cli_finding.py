"""How found Spaces are shown: in a pipe a line each, on a terminal two, nothing that steers it."""

from __future__ import annotations

from typing import Any

from spacedock.cli.commands.spaces import recommend as recommending
from spacedock.cli.commands.spaces import search as finding
from spacedock.cli.commands.spaces import show as about

HERE = {
    "name": "ears",
    "id": "ann/listen",
    "category": "audio_processing",
    "input_type": "audio",
    "output_type": "text",
    "likes": None,
    "description": "Listens",
}
THERE = HERE | {
    "name": None,
    "id": "bob/\x1b[31mred",
    "likes": 12,
    "sdk": "gradio",
    "description": "x " * 200,
}
FOUND = {"here": [HERE], "spaces": [HERE | {"name": "ears"}, THERE], "cached_at": None, "note": None}

SPACE: dict[str, Any] = THERE | {
    "title": "Red",
    "confidence": 0.5,
    "reason": "its name says 'red'",
    "hardware": None,
    "stage": "RUNNING",
    "private": False,
    "gated": True,
    "license": None,
    "last_modified": "2026-05-04T03:02:01+00:00",
    "sha": "a" * 40,
    "secrets": ["A_KEY"],
    "models": [],
    "tags": ["gradio"],
}
IMAGE = {"state": "to be pulled", "reference": "r/x:latest", "digest": None, "size": 2_500_000, "why": "kept"}


def test_what_is_here_is_shown_once() -> None:
    assert [row["id"] for row in finding.joined(FOUND)] == ["ann/listen", "bob/\x1b[31mred"]


def test_a_pipe_gets_a_line_for_each_space() -> None:
    lines = list(finding.lines(list(finding.joined(FOUND))))
    assert len(lines) == 4
    assert lines[2].split()[:3] == ["ears", "here", "audio_processing"]
    assert "\x1b" not in "".join(lines)


def test_a_terminal_gets_two_lines_that_fit() -> None:
    lines = list(finding.blocks(list(finding.joined(FOUND)), 80))
    assert lines[0] == "ears  (here, audio_processing, audio -> text)"
    assert lines[1] == "    Listens"
    assert len(lines) == 4
    assert all(len(line) < 80 for line in lines)
    assert "\x1b" not in "".join(lines)


def test_one_space_is_told_within_eighty_columns() -> None:
    lines = list(about.lines({"space": SPACE, "image": IMAGE, "endpoints": ["/a() -> x", "/b() -> y"]}))
    assert all(len(line) < 80 for line in lines)
    text = "\n".join(lines)
    assert "\x1b" not in text
    for part in (
        "category  audio_processing (50% sure: its name says 'red')",
        "access    gated",
        "licence   not said",
        "changed   2026-05-04",
        "secrets   A_KEY",
        "image     to be pulled, 2.5 MB to load: kept (r/x:latest)",
        "endpoints /a() -> x",
        "here as   not in the registry yet",
    ):
        assert part in text


ADVISED = HERE | {
    "score": 0.715,
    "state": "not here",
    "reasons": ["takes audio and gives text", "made for a task of many words " * 5, "\x1b[31mred"],
}


def test_recommendations_are_a_line_each_in_a_pipe() -> None:
    lines = list(recommending.lines([ADVISED, ADVISED]))
    assert len(lines) == 4
    assert lines[3].split()[:4] == ["2", "ears", "0.71", "audio_processing"]
    assert "\x1b" not in "".join(lines)


def test_recommendations_fit_a_narrow_terminal_and_break_no_word() -> None:
    lines = list(recommending.blocks([ADVISED], 60))
    assert lines[:2] == ["1. ears  0.71", "   audio_processing, audio -> text, not here"]
    assert max(map(len, lines)) < 60
    assert " ".join(" ".join(lines[2:]).split()).count("made for a task of many words") == 5
