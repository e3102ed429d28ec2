"""Real prompts and files, answered by real Spaces in real containers, through the real command."""

from __future__ import annotations

import hashlib
import statistics
import time
from pathlib import Path

import pytest
from tests.acceptance.running import FIXTURES, SPACES, Daemon
from tests.quickest import Quickest

from spacedock import Client


@pytest.mark.parametrize(
    ("space", "arguments", "word"),
    [
        ("sentiment", ["I love this wonderful ship!"], "positive"),
        ("ocr", ["--file", FIXTURES / "sign.png"], "dock"),
        ("transcribe", ["--file", FIXTURES / "hello.wav"], "hello world"),
        ("docker-gradio", ["hello there"], ""),
    ],
)
def test_a_space_answers(daemon: Daemon, space: str, arguments: list[str | Path], word: str) -> None:
    ran = daemon.spacedock("run", *arguments, "--space", space, "--json")
    result = ran.result
    assert ran.code == 0, ran.err
    assert result["answered_by"]["tier"] == "heavy"
    assert result["answered_by"]["name"] == space
    assert result["answered_by"]["image_digest"].startswith("sha256:")
    assert word.lower() in result["output"]["text"].lower()
    assert not result["degraded"]


def test_a_result_has_everything_that_the_contract_names(daemon: Daemon) -> None:
    result = daemon.spacedock("run", "fine", "--space", "sentiment", "--json").result
    assert {"id", "state", "answered_by", "degraded", "output", "attempts", "timings"} <= result.keys()
    by = {"tier", "kind", "name", "image", "image_digest", "endpoint"}
    assert by <= result["answered_by"].keys()
    assert {"text", "data", "files"} <= result["output"].keys()
    assert {"tier", "name", "stage", "error", "seconds"} <= result["attempts"][0].keys()
    assert {"queued", "prepare", "start", "call", "total"} <= result["timings"].keys()


def test_the_second_prompt_to_a_running_space_takes_less_than_a_fifth(daemon: Daemon) -> None:
    first = daemon.spacedock(
        "run", "A long text. With two sentences.", "--space", "summarise", "--json"
    ).result
    second = daemon.spacedock(
        "run", "Another text. It has two as well.", "--space", "summarise", "--json"
    ).result
    assert second["timings"]["start"] == 0.0
    assert second["timings"]["total"] < first["timings"]["total"] / 5


def test_files_go_in_and_come_out(daemon: Daemon, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("first\nsecond\n")
    out = tmp_path / "out"
    ran = daemon.spacedock("run", "--file", note, "--space", "echo-file", "--json", "--output-dir", out)
    (ref,) = ran.result["output"]["files"]
    saved = out / ref["name"]
    assert saved.stat().st_size == ref["size"]
    assert hashlib.sha256(saved.read_bytes()).hexdigest() == ref["sha256"]


def test_a_space_draws_a_picture(daemon: Daemon, tmp_path: Path) -> None:
    ran = daemon.spacedock("run", "a boat", "--space", "picture", "--json", "-d", tmp_path)
    (ref,) = ran.result["output"]["files"]
    assert ref["media_type"].startswith("image/")
    assert (tmp_path / ref["name"]).stat().st_size > 0


def test_a_directory_is_a_space(daemon: Daemon) -> None:
    ran = daemon.spacedock("run", "I hate rain", "--space", SPACES / "sentiment", "--json")
    assert ran.code == 0, ran.err
    assert "negative" in ran.result["output"]["text"]


def test_a_space_that_was_added_answers_until_it_is_removed(daemon: Daemon) -> None:
    added = daemon.spacedock("spaces", "add", "second-mood", "--dir", SPACES / "sentiment")
    assert added.code == 0, added.err
    assert "second-mood" in daemon.spacedock("spaces", "list").out
    assert daemon.spacedock("run", "lovely", "--space", "second-mood").code == 0
    assert daemon.spacedock("spaces", "remove", "second-mood").code == 0
    assert daemon.spacedock("run", "lovely", "--space", "second-mood").code == 2


def test_an_alternate_of_the_category_answers_for_a_space_that_crashes(daemon: Daemon) -> None:
    result = daemon.spacedock("run", "What a lovely day", "--space", "broken-import", "--json").result
    assert result["answered_by"]["name"] in {"sentiment", "mood"}
    assert result["attempts"][0]["error"]["kind"] == "crashed"
    assert not result["degraded"]


def test_smollm_answers_last_and_says_that_words_are_no_picture(daemon: Daemon) -> None:
    result = daemon.spacedock("run", "A small boat", "--space", "broken-painter", "--json").result
    assert result["answered_by"]["tier"] == "default"
    assert "stand-in for SmolLM3" in result["answered_by"]["name"]
    assert result["degraded"] is True
    assert result["output"]["text"]
    kinds = [attempt["error"] and attempt["error"]["kind"] for attempt in result["attempts"]]
    assert kinds == ["crashed", "skipped", None]


def test_a_model_that_cannot_take_the_input_is_skipped_with_its_reason(daemon: Daemon) -> None:
    ran = daemon.spacedock("run", "--file", FIXTURES / "hello.wav", "--tier", "fast", "--json")
    assert ran.code == 1
    reasons = [attempt["error"]["message"] for attempt in ran.result["attempts"]]
    assert any("does not take audio" in reason for reason in reasons)


def test_a_recording_that_names_no_space_goes_to_one_that_takes_it(daemon: Daemon) -> None:
    ran = daemon.spacedock("run", "--file", FIXTURES / "hello.wav", "--json")
    assert ran.code == 0, ran.err
    assert ran.result["answered_by"]["name"] == "transcribe"


async def test_a_job_that_needs_no_container_ends_in_under_10_ms(daemon: Daemon) -> None:
    """The best of some medians: what else runs on the machine only ever adds to a round trip."""
    medians = Quickest(0.010, most=50)
    async with Client(daemon.url) as client:
        while medians.again:
            medians.took(statistics.median([await round_trip(client) for _ in range(40)]))
    assert medians.under, medians.rounds


async def round_trip(client: Client) -> float:
    """Seconds from submit to result of a job whose Space no registry has."""
    began = time.perf_counter()
    result = await client.run("a prompt", space="no-such-space")
    assert result.error is not None
    assert result.error.kind == "space_not_found"
    return time.perf_counter() - began
