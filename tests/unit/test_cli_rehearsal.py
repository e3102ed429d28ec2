"""Which lines of a batch share a plan."""

from __future__ import annotations

from spacedock import JobRequest
from spacedock.cli.commands.batch import alike


def test_lines_that_differ_only_in_their_words_share_a_plan() -> None:
    requests = {
        1: JobRequest(prompt="a", space="mood"),
        2: JobRequest(prompt="b", space="mood", inputs={"steps": 1}),
        4: JobRequest(prompt="c", space="mood"),
        5: JobRequest(prompt="d", space="ocr"),
    }
    assert alike(requests) == [[1, 4], [2], [5]]
