"""Profiles and comparisons, with a daemon of their own: measured as jobs run, kept over a restart."""

from __future__ import annotations

import signal
import subprocess
import time

from tests.acceptance.conftest import StartDaemon
from tests.acceptance.running import BIN, SPACES, Daemon

API, PROGRAM, BROKEN, HANGING = "openapi-sentiment", "command-count", "broken-error", "broken-hang"


def test_spaces_are_measured_as_they_run_and_compared_side_by_side(make_daemon: StartDaemon) -> None:
    daemon = make_daemon(start=False)
    daemon.declare(API, None)
    daemon.start()
    daemon.spacedock("spaces", "add", API, "--dir", SPACES / API)
    assert "no Space has run here yet" in daemon.spacedock("spaces", "profile").err
    assert "has not run here yet" in daemon.spacedock("spaces", "profile", API).err
    unknown = daemon.spacedock("spaces", "profile", "nobody")
    assert unknown.code == 2
    assert "no Space 'nobody'" in unknown.err

    ran = daemon.spacedock(
        "spaces", "bench", API, PROGRAM, BROKEN, "--prompt", "a good day", "-n", "4", "--json"
    )
    assert ran.code == 1
    rows = ran.result["spaces"]
    assert [(row["succeeded"], row["failed"]) for row in rows.values()] == [(4, 0), (4, 0), (0, 3)]
    assert (rows[API]["answer"], rows[PROGRAM]["answer"]) == ("glad", "3 words")
    assert rows[BROKEN]["error"] == {"kind": "app_error", "message": "The model is out of coffee"}
    for row in (rows[API], rows[PROGRAM]):
        assert row["cold_start"] > 0
        assert 0 < row["min"] <= row["p50"] <= row["p95"]
        assert row["jobs_per_second"] > 0
    assert 10 * 2**20 < rows[API]["peak_memory"] < 500 * 2**20

    before = daemon.spacedock("spaces", "profile", API, "--json").result["images"]
    assert [(image["runs"], image["succeeded"], image["starts"]) for image in before] == [(4, 4, 1)]
    assert before[0]["digest"] == rows[API]["image_digest"]
    assert len(before[0]["calls"]) == 4
    assert before[0]["memory_limit"] == 2 * 2**30
    daemon.stop()
    daemon.start()
    daemon.await_event("daemon.ready", count=2)
    after = daemon.spacedock("spaces", "profile", API, "--json").result["images"]
    # A container is measured again while it is idle, which may be after the first look.
    assert after[0].pop("peak_memory") >= before[0].pop("peak_memory")
    assert after == before
    shown = daemon.spacedock("spaces", "profile", API).out
    assert "4, 100% succeeded" in shown
    listed = daemon.spacedock("spaces", "profile").out
    assert [name for name in (API, PROGRAM, BROKEN) if name in listed] == [API, PROGRAM, BROKEN]

    daemon.spacedock("spaces", "remove", API)
    assert daemon.spacedock("spaces", "profile", API).code == 2
    assert API not in daemon.spacedock("spaces", "profile").out


def test_a_comparison_that_is_stopped_cancels_its_job(daemon: Daemon) -> None:
    command = [str(BIN / "spacedock"), "spaces", "bench", HANGING, API, "--prompt", "x"]
    env = {**daemon.env, "SPACEDOCK_REDIS_URL": daemon.url}
    before = len(running(daemon))
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        end = time.monotonic() + 120
        while len(running(daemon)) == before and time.monotonic() < end:
            assert process.poll() is None
            # A log file offers nothing to wait on.
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the job under way was cancelled" in err
    daemon.await_event("job.ended", state="cancelled")


def running(daemon: Daemon) -> list[dict[str, object]]:
    return [
        event for event in daemon.events if event["event"] == "container.ready" and event["space"] == HANGING
    ]
