"""`spacedock tiers`, as it is printed."""

from __future__ import annotations

from spacedock.cli.commands.tiers import lines
from spacedock.replies.host import ModelRow, TiersReply


def model(name: str, *models: str, local: bool, state: str, why: str) -> ModelRow:
    return {
        "name": name,
        "tier": "fast",
        "model": models[0] if models else None,
        "models": list(models),
        "url": None,
        "local": local,
        "state": state,
        "why": why,
    }


FOUND: TiersReply = {
    "host": {
        "name": "host",
        "workers": 2,
        "engine": {"version": "20.10", "platform": "linux/amd64", "trouble": None, "fault": None},
        "memory": {"budget": 8 * 2**30, "free": 6 * 2**30},
        "disk": {"folder": "/var/lib/docker", "free": 10**10},
        "gpus": [{"index": 0, "total": 80 * 2**30, "free": 79 * 2**30}],
    },
    "spaces": {
        "registered": 12,
        "validated": 3,
        "not_working": 1,
        "images": 4,
        "containers": {"running": 1, "paused": 2, "stopped": 0},
        "slots": {"taken": 3, "all": 3},
        "quarantined": {"clip": {"for": 70.0, "reason": "\x1b[2Jit crashed " + "and crashed " * 20}},
    },
    "models": [
        model("ollama", local=True, state="absent", why="no answer"),
        model("vllm", "a", "b", local=False, state="ready", why=""),
    ],
    "default": None,
    "redis": {
        "connected": True,
        "queue": 1,
        "files": {"at": "file:///mnt/share", "free": 5 * 10**9, "why": None},
    },
    "limits": {
        "call_seconds": 300.0,
        "start_seconds": 300.0,
        "pull_seconds": 1800.0,
        "build_seconds": 1800.0,
        "memory": 2 * 2**30,
        "cpus": None,
        "pids": 512,
        "disk": 20 * 2**30,
        "network": "bridge",
        "jobs": 128,
    },
}


def test_all_of_it_fits_in_80_columns() -> None:
    said = lines(FOUND)
    text = "\n".join(said)
    assert max(map(len, said)) <= 79
    assert "\x1b" not in text
    for words in (
        "6.0 GB of 8.0 GB free for containers",
        "12 in the registry, 3 validated, 1 found not to work",
        "1 running, 2 paused; 3 of 3 slots taken",
        "clip, 1 min 10 s to go: ",
        "not there: no answer (local)",
        "a, ready (not local, 1 more model)",
        "connected, 1 job waiting or running",
        "file:///mnt/share, 5.0 GB free",
        "no job can fall back on it",
    ):
        assert words in text


def test_an_engine_that_starts_no_space_says_why() -> None:
    engine = FOUND["host"]["engine"] | {"fault": "no gateway can be set (HTTP 400)"}
    text = "\n".join(lines({**FOUND, "host": FOUND["host"] | {"engine": engine}}))
    assert "  engine      Docker Engine 20.10 (linux/amd64)" in text
    assert "  fault       this host starts no Space: no gateway can be set (HTTP 400)" in text


def test_an_engine_that_is_away_says_why() -> None:
    host = {
        **FOUND["host"],
        "engine": {"version": None, "platform": None, "trouble": "it cannot be reached", "fault": None},
        "memory": {"budget": None, "free": None},
        "disk": {"folder": None, "free": None},
        "gpus": [],
    }
    said = lines({**FOUND, "host": host})
    assert "  engine      it cannot be reached" in said
    assert "  GPUs        none" in said
