"""A job that nobody waits for: handed over, looked at, and read later."""

from __future__ import annotations

from tests.acceptance.running import Daemon


def test_a_detached_job_is_read_later(daemon: Daemon) -> None:
    detached = daemon.spacedock("run", "I love it", "--space", "sentiment", "--detach")
    assert detached.code == 0
    job_id = detached.out.strip()
    first = daemon.spacedock("result", job_id, "--json")
    assert first.result["id"] == job_id
    assert "positive" in first.result["output"]["text"]
    assert daemon.spacedock("status", job_id).out.strip() == "succeeded"
    # A result is read as often as one likes, and cancelling what has ended changes nothing.
    assert daemon.spacedock("cancel", job_id).code == 1
    assert daemon.spacedock("result", job_id, "--json").result == first.result


def test_an_answer_for_people_has_its_text_on_stdout_and_the_rest_on_stderr(daemon: Daemon) -> None:
    ran = daemon.spacedock("run", "I love it", "--space", "sentiment")
    assert ran.out.startswith("positive")
    assert len(ran.out.splitlines()) == 1
    assert "answered by sentiment (heavy)" in ran.err
