"""Large files of jobs outside of Redis: beside the embedded Valkey, and in a bucket that goes away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from tests.acceptance.conftest import StartDaemon
from tests.acceptance.running import Daemon, Ran
from tests.buckets import KEY, SECRET, BucketServer

LETTER = "a long letter\n" * 100_000


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    path = tmp_path / "letter.txt"
    path.write_text(LETTER)
    return path


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[BucketServer]:
    pytest.importorskip("obstore", reason="the extra `s3` is not installed")
    server = BucketServer(tmp_path / "bucket")
    server.start()
    yield server
    server.stop()


def shout(daemon: Daemon, letter: Path, *more: str | Path) -> Ran:
    return daemon.spacedock("run", "--space", "echo-file", "--file", letter, "--no-fallback", *more)


def test_large_files_lie_beside_the_embedded_valkey(
    make_daemon: StartDaemon, letter: Path, tmp_path: Path
) -> None:
    daemon = make_daemon()
    ran = shout(daemon, letter, "-d", tmp_path / "out", "--keep-for", "7d")
    assert ran.code == 0, ran.err
    assert (tmp_path / "out/letter.loud.txt").read_text() == LETTER.upper()
    stored = [path for path in (daemon.folder / "state/valkey/files").glob("??/*") if path.is_file()]
    assert sorted(path.read_text() for path in stored) == [LETTER.upper(), LETTER]
    with redis.Redis(unix_socket_path=f"{daemon.folder}/run/redis.sock") as server:
        ends = {key: server.ttl(key) for key in server.scan_iter("spacedock:file:*")}
        assert all(server.type(key) == b"hash" for key in ends)
        for key in ends:
            server.delete(key)
    assert set(ends.values()) <= {*range(7 * 86_400 - 600, 7 * 86_400 + 1)}
    files = json.loads(daemon.spacedock("tiers", "--json").out)["redis"]["files"]
    assert (files["at"], files["why"]) == ((daemon.folder / "state/valkey/files").as_uri(), None)


def test_a_job_waits_for_the_bucket_that_its_file_is_in(
    make_daemon: StartDaemon, bucket: BucketServer, letter: Path, tmp_path: Path
) -> None:
    daemon = make_daemon(start=False, files=bucket.url, log_level="debug")
    daemon.env |= {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    daemon.start()
    assert daemon.spacedock("hosts", "pause", daemon.id).code == 0
    waits = shout(daemon, letter, "--detach").out.strip()
    bucket.stop()
    other = tmp_path / "other.txt"
    other.write_text(LETTER[1:])
    refused = shout(daemon, other)
    assert refused.code == 2
    assert f"the store of files at {bucket.url} cannot be used" in refused.err
    assert daemon.spacedock("hosts", "resume", daemon.id).code == 0
    daemon.await_event("redis.waited_for", error="StoreAwayError")
    bucket.start()
    ran = daemon.spacedock("result", waits, "-d", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert (tmp_path / "out/letter.loud.txt").read_text() == LETTER.upper()
    assert len([path for path in bucket.objects.rglob("*") if path.is_file()]) == 3
