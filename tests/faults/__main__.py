"""`python -m tests.faults [ROW…] [--trials N]`: measures rows, and writes docs/reliability.md.

ROW is a row's number, or one of its cases, such as 1.worker; without any, all are measured. The figures are
kept in .cache/faults; the page keeps what it says of rows that were not measured here. `--page` measures
nothing and writes what is kept.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from importlib import import_module
from pkgutil import iter_modules

from tests.faults import rows
from tests.faults.account import Account, CannotRunError, Case, Row
from tests.faults.page import Measured, keep, write

from spacedock_worker.logs import configure


def every_row() -> list[Row]:
    """The rows there are, in the order of their numbers."""
    found = [import_module(f"{rows.__name__}.{module.name}") for module in iter_modules(rows.__path__)]
    return sorted((module.ROW for module in found if hasattr(module, "ROW")), key=lambda row: row.number)


def chosen(names: list[str]) -> list[tuple[Row, Case]]:
    """The cases that the names choose."""
    known = [(row, case) for row in every_row() for case in row.cases]
    for name in names:
        if not any(name in (str(row.number), f"{row.number}.{case.name}") for row, case in known):
            raise SystemExit(
                f"there is no row '{name}': {' '.join(f'{r.number}.{c.name}' for r, c in known)}"
            )
    wanted = set(names)
    return [(r, c) for r, c in known if not names or wanted & {str(r.number), f"{r.number}.{c.name}"}]


def measure(row: Row, case: Case, trials: int) -> Measured:
    """Try one case, and keep what came of it."""
    _say(f"{row.number}.{case.name}: {case.what}, {trials} trials")
    began, cannot, wrong = time.time(), "", ()
    account = Account(0)
    try:
        account = asyncio.run(case.run(trials))
        wrong = tuple(case.faults(account))
    except CannotRunError as error:
        cannot = str(error)
    except Exception as error:  # noqa: BLE001 (a case's boundary: the others are measured all the same)
        wrong = (f"the case did not end: {type(error).__name__}: {error}",)
    measured = Measured.of(row, case, account, began, wrong, cannot)
    keep(measured)
    _say(measured.line)
    for why in wrong[:10]:
        _say(f"    {why}")
    return measured


def main() -> int:
    """Measure what was asked for; 1 where anything falls short."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("rows", nargs="*", metavar="ROW", help="a row's number, or row.case; all without one")
    parser.add_argument("--trials", type=int, help="how often each case is tried, in place of its own number")
    parser.add_argument(
        "--page", action="store_true", help="write the page from what is kept, and measure nothing"
    )
    asked = parser.parse_args()
    # Whoever stops it finds no processes left.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    for name in [name for name in os.environ if name.startswith("SPACEDOCK_")]:
        del os.environ[name]
    configure("json", "error")
    cases = [] if asked.page else chosen(asked.rows)
    measured = [measure(row, case, asked.trials or case.trials) for row, case in cases]
    write(every_row())
    return int(any(one.wrong for one in measured))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
