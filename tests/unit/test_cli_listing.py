"""`spacedock spaces list`: own and used Spaces first, what Spacedock comes with folded into one line."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.registries import host

from spacedock.cli.commands.spaces import app as listing
from spacedock.replies.spaces import SpaceHere
from spacedock_worker.control.registry import _rows
from spacedock_worker.registry.entry import Verdict
from spacedock_worker.registry.host_file import default_text
from spacedock_worker.registry.merging import settled

TRIED = {"works": True, "deep": True}


def row(**more: Any) -> dict[str, Any]:
    return {"category": "c", "input_type": "text", "output_type": "text", "description": "d", **more}


SPACES = {"b-own": row(), "a-seed": row(), "c-run": row(), "d-tried": row(verified=TRIED), "e-seed": row()}
SHIPPED = ("a-seed", "c-run", "d-tried", "e-seed")


def there(state: str) -> SpaceHere:
    return {
        "state": state,
        "containers": {},
        "quarantined_for": None,
        "reason": None,
        "image_bytes": None,
        "cache_bytes": None,
    }


STATUS = {name: there("not here") for name in SPACES} | {"c-run": there("paused")}


def shown(capsys: pytest.CaptureFixture[str], *, everything: bool) -> tuple[list[str], str]:
    unused = listing._unused(SPACES, SHIPPED, STATUS)
    listing._table(SPACES, STATUS, unused, everything=everything)
    captured = capsys.readouterr()
    return [line.split()[0] for line in captured.out.splitlines()[2:]], captured.err


def test_own_used_and_tried_spaces_are_listed_and_the_rest_is_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = "2 more come with Spacedock, none used or validated here: --all lists them\n"
    assert shown(capsys, everything=False) == (["b-own", "c-run", "d-tried"], said)


def test_all_lists_the_rest_behind_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, everything=True) == (["b-own", "c-run", "d-tried", "a-seed", "e-seed"], "")


def test_a_new_host_says_what_there_is_without_an_empty_table(capsys: pytest.CaptureFixture[str]) -> None:
    spaces = {"s": row(), "t": row()}
    listing._table(spaces, {}, listing._unused(spaces, ("s", "t"), {}), everything=False)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("2 Spaces come with Spacedock")


async def test_a_verdict_without_a_trial_is_listed(
    tmp_path: Path, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with host(tmp_path, redis_url, default_text()) as registry:
        await registry.judge("translation", Verdict(works=True, reason="fine", at=datetime.now(UTC)))
        rows, shipped = _rows(registry.last)
    listing._table(rows, {}, listing._unused(rows, shipped, {}), everything=False)
    assert {"translation", "ok"} <= set(capsys.readouterr().out.splitlines()[-1].split())


async def test_an_entry_that_somebody_changed_is_no_shipped_one(tmp_path: Path, redis_url: str) -> None:
    async with host(tmp_path, redis_url, default_text()) as registry:
        everything = set(registry.last.spaces)
        for name, fields in {"translation": {"description": "mine"}, "mood": {"docker_image": "m:1"}}.items():
            await registry.settle(name, lambda there, said=fields: settled(there, said, said))
        _, shipped = _rows(registry.last)
        assert set(shipped) == everything - {"translation"}
