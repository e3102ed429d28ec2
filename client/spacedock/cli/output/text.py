"""What people read: answers on standard output, talk on standard error, nothing that moves the cursor."""

from __future__ import annotations

import json
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

from spacedock.result import Attempt, ErrorKind, JobResult
from spacedock.states import JobState

_WIDTH = 79
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")

_ENDS = {JobState.CANCELLED: "was cancelled", JobState.DEAD: "is dead"}
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def say(text: str) -> None:
    """One line of talk."""
    sys.stderr.write(printable(text) + "\n")


def say_degraded() -> None:
    """Why a command ends with exit code 3."""
    say("exit code 3: some answers are degraded; --allow-degraded takes them for good")


def write(text: str) -> None:
    """Data; a terminal gets it without control characters, since apps are strangers."""
    shown = printable(text) if sys.stdout.isatty() else text
    sys.stdout.write(shown + "\n")
    sys.stdout.flush()


def write_json(value: Any) -> None:
    """Data for programs, over many lines."""
    write(json.dumps(value, indent=2))


def wrapped(head: str, text: str, indent: int) -> list[str]:
    """The text behind its head, on as many lines of 79 columns as it takes."""
    flat = " ".join(printable(text).split())
    head = f"{head:<{indent}}"
    lines = textwrap.wrap(
        flat, _WIDTH, initial_indent=head, subsequent_indent=" " * indent, break_on_hyphens=False
    )
    return lines or [head]


def printable(text: str) -> str:
    """The text without control characters, but for tabs and new lines."""
    # For thousands of cells of a table the quick question first.
    return text if text.isprintable() else _CONTROL.sub("\ufffd", text)


def heading(path: Path) -> str:
    """What stands above a file's answer where there are several, as `head` and `tail` write it."""
    return f"==> {path} <=="


def show(result: JobResult) -> None:
    """An answer for people: its text, and who gave it; or why there is none."""
    by = result.answered_by
    if by is None:
        show_failure(result)
        return
    if result.output.text is not None:
        write(result.output.text)
    if result.output.truncated:
        say("the answer was cut: there was more to say")
    say(f"answered by {by.title} in {result.timings.total:.1f} s")
    if result.degraded:
        say("degraded: these are a language model's words, not the kind of answer that was asked for")
    if attempts_told(result):
        show_attempts(result)


def attempts_told(result: JobResult) -> bool:
    """Whether an answer for people says why it is not another's: a step failed before it."""
    failed = (
        attempt.error is not None and attempt.error.kind is not ErrorKind.SKIPPED
        for attempt in result.attempts
    )
    return result.degraded or any(failed)


def show_failure(result: JobResult) -> None:
    """Why there is no answer."""
    say(f"spacedock: the job {_ENDS.get(result.state, result.state)} ({result.id})")
    show_attempts(result)


def show_attempts(result: JobResult) -> None:
    """Each step that gave no answer, with its reason; steps that failed alike share one."""
    alike: dict[str, list[Attempt]] = {}
    for attempt in result.attempts:
        if attempt.error is not None:
            alike.setdefault(_told(attempt, _anybody(attempt.error.message, attempt.name)), []).append(
                attempt
            )
    for first, *others in alike.values():
        assert first.error is not None
        # What an app said may have many lines, which would look like steps.
        message = first.error.message.replace("\n", "\n    ")
        say(f"  {first.name}: {_told(first, message)}")
        if others:
            say(f"  {', '.join(attempt.name for attempt in others)}: the same")


def _told(attempt: Attempt, message: str) -> str:
    """What went wrong, where, and why."""
    assert attempt.error is not None
    kind = attempt.error.kind
    what = "skipped" if kind is ErrorKind.SKIPPED else f"{kind.value} at {attempt.stage.value}"
    return f"{what}: {message}"


def _anybody(message: str, name: str) -> str:
    """The message without the Space's names, to see whether another's says the same."""
    return _HUB_ID.sub("", message).replace(name, "")


def say_host_fault(result: JobResult) -> None:
    """Say what keeps the host from starting Spaces, if the job met such a fault."""
    if result.host_fault is not None:
        say(f"this host starts no Space: {result.host_fault}")


def say_how_to_go_on(left: str, again: str) -> None:
    """Say what became of a stopped batch: what is left, such as "1 line has", and what asks again."""
    mend = "Mend the host (see `spacedock tiers`)"
    say(f"stopped: {left} no answer of a Space. {mend}; the same command {again}")
    say("to go on with the answers of language models, add --allow-degraded")
