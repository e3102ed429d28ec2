"""What a batch came to, in words: who answered, what failed and why, and the command that tries it again."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from spacedock.batching.sources.line import few, places
from spacedock.batching.tally import Failures, Tally
from spacedock.cli.output.text import say

_MOST_REASONS, _MOST_NAMES = 10, 20


def summarise(tally: Tally, started: float, output: Path | None, errors: Path | None = None) -> None:
    """Say how a batch went."""
    seconds = monotonic() - started
    if tally.already:
        degraded = f", {tally.already_degraded:,} of them degraded" if tally.already_degraded else ""
        say(f"{tally.already:,} of {tally.total:,} lines were answered before{degraded}")
    if tally.came:
        say(
            f"{tally.came:,} done in {seconds:.1f} s ({tally.came / seconds:.1f}/s): "
            f"{tally.came - tally.failed:,} succeeded, {tally.failed:,} failed, {tally.degraded:,} degraded"
        )
    for name, count in tally.answered_by.most_common(_MOST_NAMES):
        say(f"  {count:,} by {name}")
    passed = sorted(tally.passed_over.items(), key=lambda item: -item[1].count)
    for (who, kind), failures in passed[:_MOST_REASONS]:
        say(f"  {failures.count:,} not by {who}: {kind.value}: {failures.example}")
    for kind_name, failures in sorted(tally.failures.items(), key=lambda item: -item[1].count):
        _say_failures(kind_name, failures)
    _say_troubles(tally, errors)
    if output is None:
        return
    say(f"results: {output}")
    if again := tally.failed + tally.failed_before:
        say(f"{again:,} failed: to try {'it' if again == 1 else 'them'} again: {_command('failed')}")


def _say_failures(kind: str, failures: Failures) -> None:
    such = "" if failures.alike else "such as "
    say(f"  {failures.count:,} failed: {kind}: {such}{failures.example}")
    say(f"    {few(places(failures.numbers), _MOST_NAMES)}")


def _say_troubles(tally: Tally, errors: Path | None) -> None:
    if tally.invalid:
        were = "line was" if tally.invalid == 1 else "lines were"
        say(f"{tally.invalid:,} {were} left out as invalid{f': see {errors}' if errors else ''}")
    if tally.lost:
        lost = few(places(tally.lost), _MOST_NAMES)
        say(f"{lost}: somebody else read and so deleted their results. The same command asks again.")
    if tally.changed:
        changed = few(places(tally.changed), _MOST_NAMES)
        say(f"{changed}: changed while the batch was read, and not sent. The same command asks them.")
    if tally.repeated_id is not None:
        first, second = tally.repeated_id
        say(
            f"lines {first} and {second} have the same id: it names the first alone, and is only a label of "
            "the other. --id-column id refuses ids that come twice."
        )


def _command(retry: str) -> str:
    """The command that was given, as it tries again what failed."""
    words: Sequence[str] = sys.argv[1:]
    if "--retry" in words:
        return shlex.join(["spacedock", *words])
    return shlex.join(["spacedock", *words, "--retry", retry])
