"""The exit codes."""

from __future__ import annotations

FAILED = 1
USAGE = 2
DEGRADED = 3
"""A batch, or several files, have answers that are not of the kind that was asked for, and nothing failed."""
STOPPED = 4
"""A batch, or several files, were stopped: the host starts no Space. Its prompts can be asked again."""
INTERRUPTED = 130
"""Ctrl-C, as shells have it (128 + SIGINT); the jobs go on."""
