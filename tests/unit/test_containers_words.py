"""The last words of a container, safe to show."""

from __future__ import annotations

from spacedock_worker.containers.docker.log_tail import last_words


def test_the_last_lines_that_say_something_are_kept() -> None:
    assert last_words(["one\ntwo\n", "\n", "   \n", "three"], 2) == "two\nthree"


def test_terminal_escapes_and_controls_are_taken_out() -> None:
    assert last_words(["\x1b[31mred\x1b[0m\x07 \x1b]0;title\x07end\x9b2J"], 5) == "red end2J"


def test_of_a_progress_bar_the_last_state_is_kept() -> None:
    assert last_words(["10%\r50%\r100%\n"], 5) == "100%"


def test_a_long_line_is_cut() -> None:
    assert len(last_words(["x" * 5000], 1)) == 300
