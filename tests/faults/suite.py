"""Tests that measure a row already: each that passes is a trial, each that fails falls short."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from tests.faults.account import Account
from tests.faults.page import ROOT

_SHOWN = 300


async def suite(trials: int, *paths: str) -> Account:
    """Run these tests so many times."""
    ran, skipped, wrong = 0, 0, list[str]()
    for _ in range(trials):
        with tempfile.NamedTemporaryFile(suffix=".xml") as report:
            command = (sys.executable, "-m", "pytest", "-q", "-n", "0", f"--junitxml={report.name}", *paths)
            process = await asyncio.create_subprocess_exec(
                *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
            )
            said, _ = await process.communicate()
            written = await asyncio.to_thread(Path(report.name).read_bytes)
        if not written:
            wrong.append(said.decode(errors="replace")[-_SHOWN:])
            continue
        for case in ElementTree.fromstring(written).iter("testcase"):
            kinds = {child.tag: child.get("message") or "" for child in case}
            skipped += "skipped" in kinds
            ran += "skipped" not in kinds
            for why in (kinds[kind] for kind in ("failure", "error") if kind in kinds):
                wrong.append(f"{case.get('name')}: {why[:_SHOWN]}")
    words = f"{ran} tests" + (f", {skipped} that this machine cannot run" if skipped else "")
    return Account(ran, wrong=tuple(wrong), notes=(words,))
