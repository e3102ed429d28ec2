"""docs/reliability.md: the figures of each row, kept in .cache/faults as JSON and written as one page."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from tests.faults.account import Account, Case, Row
from tests.page import as_row

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"
KEPT = ROOT / ".cache" / "faults"
_SHOWN, _CHARS = 5, 200

_HEAD = (
    "what was done",
    "trials",
    "jobs",
    "lost",
    "doubled",
    "wrongly failed",
    "recovery: median, worst",
    "left",
)
_INTRODUCTION = Path(__file__).parent / "page.md"


@dataclass(frozen=True, slots=True)
class Measured:
    """One case as it was measured: its figures, what falls short, when, how long, and on what."""

    row: int
    case: str
    account: Account
    wrong: tuple[str, ...]
    cannot: str
    at: float
    seconds: float
    machine: str

    @classmethod
    def of(
        cls, row: Row, case: Case, account: Account, began: float, wrong: tuple[str, ...], cannot: str
    ) -> Self:
        """What was measured just now."""
        now = datetime.now(UTC).timestamp()
        return cls(row.number, case.name, account, wrong, cannot, began, now - began, _machine())

    @property
    def cells(self) -> tuple[str, ...]:
        """The figures of its line in the table, after what was done."""
        if self.cannot:
            return (f"not run here: {self.cannot}", *[""] * (len(_HEAD) - 2))
        one = self.account
        recovery = "" if one.median is None else f"{one.median:.1f} s, {one.worst:.1f} s"
        counts = (one.trials, one.acknowledged, one.lost, one.doubled, one.failed)
        return (*(f"{count:,}" for count in counts), recovery, str(len(one.left)))

    @property
    def line(self) -> str:
        """The figures for a terminal."""
        if self.cannot:
            return f"    {self.cells[0]}"
        named = zip(_HEAD[1:], self.cells, strict=True)
        return (
            "    "
            + ", ".join(f"{name} {value}" for name, value in named if value)
            + f" ({self.seconds:.0f} s)"
        )


def keep(measured: Measured) -> None:
    """Keep the figures of a case; they take the place of those that were kept of it before."""
    KEPT.mkdir(parents=True, exist_ok=True)
    file = KEPT / f"{measured.row}.{measured.case}.json"
    file.write_text(json.dumps(asdict(measured), indent=1) + "\n")


def kept(row: Row, case: Case) -> Measured | None:
    """What is kept of a case."""
    file = KEPT / f"{row.number}.{case.name}.json"
    if not file.exists():
        return None
    told = json.loads(file.read_text())
    figures = {
        name: tuple(value) if isinstance(value, list) else value for name, value in told["account"].items()
    }
    return Measured(**{**told, "account": Account(**figures), "wrong": tuple(told["wrong"])})


def write(rows: Sequence[Row]) -> None:
    """Write the page. A case without a kept result keeps the figures that the page has."""
    before = _sections(PAGE.read_text()) if PAGE.exists() else {}
    sections = [_section(row, before.get(row.number) or _unmeasured(row)) for row in rows]
    PAGE.write_text(_INTRODUCTION.read_text() + "\n" + "\n\n".join(sections) + "\n")


def _sections(page: str) -> dict[int, str]:
    """The sections of the page by the numbers of their rows."""
    parts = re.split(r"(?m)^(?=## \d+\. )", page)[1:]
    return {int(part[3:].partition(".")[0]): part.strip() for part in parts}


def _title(row: Row) -> str:
    return f"## {row.number}. {row.title}"


def _unmeasured(row: Row) -> str:
    return f"{_title(row)}\n\nNot measured yet: `make faults ROWS={row.number}`."


def _section(row: Row, before: str) -> str:
    found = {case.name: measured for case in row.cases if (measured := kept(row, case)) is not None}
    if not found:
        return before
    table = [as_row(_HEAD), as_row(["---"] * len(_HEAD))]
    remarks = []
    for case in row.cases:
        if (one := found.get(case.name)) is None:
            told_before = re.search(rf"(?m)^\| {re.escape(case.what)} \|.*$", before)
            unknown = as_row((case.what, "not measured", *[""] * (len(_HEAD) - 2)))
            table.append(told_before[0] if told_before else unknown)
            remarks += re.findall(rf"(?m)^- {re.escape(case.what)}:(?:\n    - .*)+", before)
            continue
        table.append(as_row((case.what, *one.cells)))
        wrong = [(why.splitlines() or [""])[0][:_CHARS] for why in one.wrong[:_SHOWN]]
        told = [*one.account.notes, *(f"**falls short**: {why}" for why in wrong)]
        if told:
            remarks += [f"- {case.what}:", *(f"    - {note}" for note in told)]
    parts = [
        _title(row),
        "\n".join(table),
        *(["\n".join(remarks)] if remarks else []),
        *_when(row, [*found.values()], before),
    ]
    return "\n\n".join(parts)


def _when(row: Row, found: Sequence[Measured], before: str) -> list[str]:
    """When these cases were measured; where not all were, after when the others were."""
    names = str(row.number)
    if len(found) < len(row.cases):
        names = f'"{" ".join(f"{row.number}.{one.case}" for one in found)}"'
    earlier = re.findall(r"(?m)^`make faults ROWS=.*$", before) if names.startswith('"') else []
    last = max(found, key=lambda one: one.at)
    day = datetime.fromtimestamp(last.at, UTC).strftime("%Y-%m-%d")
    minutes = sum(one.seconds for one in found) / 60
    command = f"`make faults ROWS={names}`"
    machine = last.machine.rpartition(", load ")[0]
    loads = sorted({one.machine.rpartition(" ")[2] for one in found}, key=float)
    load = loads[0] if len(loads) == 1 else f"{loads[0]} to {loads[-1]}"
    now = f"{command}, {day}, {minutes:.1f} minutes on {machine}, load {load}."
    return [*(line for line in earlier if not line.startswith(command)), now]


def _machine() -> str:
    """The machine in words."""
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    asked = ["docker", "version", "--format", "{{.Server.Version}}"]
    engine = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() or "none"
    kind = f" ({found[1]})" if found else ""
    return (
        f"{os.cpu_count()} cores{kind}, {memory:.0f} GiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}, Docker Engine {engine}, load {os.getloadavg()[0]:.1f}"
    )
