"""Batches: each line answered once, whatever interrupts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

from tests.acceptance.running import BIN, FIXTURES, Daemon


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_prompts_and_files_become_lines_of_results(daemon: Daemon, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.jsonl"
    lines = [
        {"prompt": "I love it", "space": "sentiment"},
        {"prompt": "I hate it", "space": "sentiment", "labels": {"row": "2"}},
        {"file": str(FIXTURES / "sign.png"), "space": "ocr"},
    ]
    prompts.write_text("".join(json.dumps(line) + "\n" for line in lines))
    ran = daemon.spacedock("batch", prompts, "-o", tmp_path / "results.jsonl")
    assert ran.code == 0, ran.err
    by_line = {row["line"]: row for row in rows(tmp_path / "results.jsonl")}
    assert "positive" in by_line[1]["output"]["text"]
    assert "negative" in by_line[2]["output"]["text"]
    assert by_line[2]["labels"] == {"row": "2"}
    assert "dock" in by_line[3]["output"]["text"].lower()
    assert "3 succeeded, 0 failed, 0 degraded" in ran.err


def test_a_failed_line_makes_the_exit_code_1_and_the_others_are_kept(daemon: Daemon) -> None:
    ran = daemon.spacedock("batch", "-", "--space", "broken-error", "--no-fallback", stdin="one\ntwo\n")
    assert ran.code == 1
    assert [json.loads(line)["state"] for line in ran.out.splitlines()] == ["failed", "failed"]


def test_a_directory_is_a_batch_of_its_files(daemon: Daemon, tmp_path: Path) -> None:
    folder = tmp_path / "signs"
    folder.mkdir()
    for number in range(2):
        (folder / f"{number}.png").write_bytes((FIXTURES / "sign.png").read_bytes())
    ran = daemon.spacedock("batch", folder, "--space", "ocr")
    assert ran.code == 0, ran.out
    assert ran.out.lower().count("space dock") >= 2


def test_a_batch_interrupted_by_ctrl_c_is_picked_up_and_no_line_is_done_twice(
    daemon: Daemon, tmp_path: Path
) -> None:
    prompts, results = tmp_path / "prompts.txt", tmp_path / "results.jsonl"
    prompts.write_text("".join(f"I love boat number {number}\n" for number in range(200)))
    command = [BIN / "spacedock", "batch", prompts, "-o", results, "--space", "sentiment"]
    env = {**daemon.env, "SPACEDOCK_REDIS_URL": daemon.url}
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as process:
        _wait_for_a_line(results, process)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "The same command picks up what is left" in said
    before = len(rows(results))
    assert 0 < before < 200

    again = daemon.spacedock("batch", prompts, "-o", results, "--space", "sentiment")
    assert again.code == 0, again.err
    assert sorted(row["line"] for row in rows(results)) == list(range(1, 201))
    assert len({row["id"] for row in rows(results)}) == 200
    assert f"{before} of 200 lines were answered before" in again.err

    third = daemon.spacedock("batch", prompts, "-o", results, "--space", "sentiment")
    assert third.code == 0
    assert len(rows(results)) == 200


def _wait_for_a_line(path: Path, process: subprocess.Popen[str]) -> None:
    """Wait until the first result is written; inotify is not in the standard library, so look."""
    while process.poll() is None:
        if path.exists() and path.stat().st_size:
            return
        os.sched_yield()
    raise AssertionError("the batch ended before its first line")
