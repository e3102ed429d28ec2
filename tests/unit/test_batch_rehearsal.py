"""Which lines of a batch share a plan."""

from __future__ import annotations

from spacedock import JobRequest
from spacedock.cli.batching.rehearsal import kind_of


def test_lines_that_differ_only_in_their_words_share_a_plan() -> None:
    first = JobRequest(prompt="a", space="mood")
    others = [
        JobRequest(prompt="b", space="mood", inputs={"steps": 1}),
        JobRequest(prompt="c", space="mood"),
        JobRequest(prompt="d", space="ocr"),
    ]
    assert [kind_of(other) == kind_of(first) for other in others] == [False, True, False]
