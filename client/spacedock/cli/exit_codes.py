"""The exit codes, and the one that needs words."""

from __future__ import annotations

import typer

from spacedock.cli.output.text import say

SUCCESS = 0
FAILED = 1
USAGE = 2
DEGRADED = 3
"""A batch, or several files, have answers that are not of the kind that was asked for, and nothing failed."""
STOPPED = 4
"""A batch, or several files, were stopped: the host starts no Space. Its prompts can be asked again."""
INTERRUPTED = 130
"""Ctrl-C, as shells have it (128 + SIGINT); the jobs go on."""


def degraded() -> typer.Exit:
    """Say why a command ends with DEGRADED; the caller raises it."""
    say("exit code 3: some answers are degraded; --allow-degraded takes them for good")
    return typer.Exit(DEGRADED)
