"""Spaces that fail, each in its own way: the attempt says how far it came and why."""

from __future__ import annotations

import pytest
from tests.acceptance.running import Daemon


@pytest.mark.parametrize(
    ("space", "stage", "kind", "words"),
    [
        ("broken-build", "build", "build_failed", "requirements"),
        ("broken-import", "ready", "crashed", ""),
        ("broken-never-ready", "ready", "start_timeout", ""),
        ("broken-error", "call", "app_error", "out of coffee"),
        ("broken-hang", "call", "timeout", "`timeout`"),
        ("broken-memory", "call", "out_of_memory", "memory"),
        ("streamlit", "build", "unsupported", "Streamlit"),
        ("static", "build", "unsupported", "static page"),
    ],
)
def test_the_attempt_says_where_and_why(
    daemon: Daemon, space: str, stage: str, kind: str, words: str
) -> None:
    seconds = "5" if space == "broken-hang" else "120"
    ran = daemon.spacedock("run", "hello", "--space", space, "--no-fallback", "--timeout", seconds, "--json")
    attempt = ran.result["attempts"][0]
    assert ran.code == 1
    assert ran.result["state"] == "failed"
    assert (attempt["stage"], attempt["error"]["kind"]) == (stage, kind), attempt
    assert words in attempt["error"]["message"]


def test_a_person_reads_why_on_standard_error(daemon: Daemon) -> None:
    ran = daemon.spacedock("run", "hello", "--space", "broken-error", "--no-fallback")
    assert ran.code == 1
    assert ran.out == ""
    assert "broken-error: app_error at call: The model is out of coffee" in ran.err
