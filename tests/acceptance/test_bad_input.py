"""Bad input: a message on standard error that says what to do, the right exit code, and nothing lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.acceptance.running import Daemon


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "hello", "--space", "sentimnt"], "no Space 'sentimnt' in the registry"),
        (["run", "hello", "--category", "poems"], "no Space of the category 'poems'"),
        (["run", "hello", "--file", "/no/such/file"], "/no/such/file: No such file"),
        (["run", ""], "the prompt is empty"),
        (["run", "hello", "--input", "steps"], "NAME=VALUE"),
        (["run", "hello", "--endpoint", "predict"], "starts with '/'"),
        (["run", "hello", "--space", "/no/such/directory"], "is not a directory"),
        (["run", "hello", "--timeout", "-1"], "timeout"),
        (["status", "no-such-job"], "no job or batch no-such-job"),
        (["result", "no-such-job"], "no job no-such-job"),
        (["cancel", "no-such-job"], "no job or batch no-such-job"),
        (["batch", "/no/such/prompts.jsonl"], "/no/such/prompts.jsonl: No such file"),
        (["spaces", "add", "x"], "--dir"),
        (["spaces", "show", "nope"], "no Space 'nope'"),
    ],
)
def test_the_message_says_what_to_do(daemon: Daemon, arguments: list[str], words: str) -> None:
    ran = daemon.spacedock(*arguments)
    assert ran.code == 2
    assert words in ran.err
    assert ran.out == ""


def test_a_file_over_the_limit_is_refused_before_it_is_read(daemon: Daemon, tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        os.truncate(file.fileno(), 65 * 2**20)
    ran = daemon.spacedock("run", "hello", "--file", large)
    assert ran.code == 2
    assert "over the limit of 64 MB" in ran.err


def test_malformed_lines_are_named_and_nothing_is_submitted(daemon: Daemon, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"prompt": "fine"}\n{"prompt": \n\n{"promt": "typo"}\n')
    ran = daemon.spacedock("batch", prompts, "-o", tmp_path / "results.jsonl")
    assert ran.code == 2
    assert "line 2: not JSON" in ran.err
    assert "line 4: unknown key 'promt'" in ran.err
    assert not (tmp_path / "results.jsonl").exists()


def test_without_a_daemon_the_message_says_how_to_start_one(daemon: Daemon, tmp_path: Path) -> None:
    ran = daemon.spacedock("run", "hello", "--redis", f"unix://{tmp_path}/no.sock")
    assert ran.code == 2
    assert "Start it with `spacedockd`" in ran.err
