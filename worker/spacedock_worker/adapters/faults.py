"""What can go wrong with an app, as step errors that the chain records; why a slot cannot be filled."""

from __future__ import annotations

from spacedock.result import ErrorKind, Stage
from spacedock_worker.errors import StepError, UnexplainedError

MAX_TEXT = 2000
MAX_DEPTH = 64
MAX_FILES = 256

OF_THE_FILE = frozenset({413, 415})
"""HTTP answers that say that a file is too large, or of the wrong type."""


class TooComplexError(StepError):
    """An answer holds more than can be read without holding up other calls."""


def shortened(text: str, limit: int = MAX_TEXT) -> str:
    """The app's own words made safe for a message: printable, at most `limit` characters."""
    kept = "".join(c for c in text[: 4 * limit] if c.isprintable() or c == "\n").strip()
    return kept if len(kept) <= limit else kept[: limit - 1] + "…"


def bad_input(message: str) -> StepError:
    """The request does not fit the app; the message says what would."""
    return StepError(Stage.CALL, ErrorKind.BAD_INPUT, shortened(message, 2 * MAX_TEXT))


def app_error(message: str) -> StepError:
    """The app itself said no."""
    return StepError(Stage.CALL, ErrorKind.APP_ERROR, shortened(message))


def unexplained(message: str) -> StepError:
    """The app failed, and its answer does not say why; its log may."""
    return UnexplainedError(Stage.CALL, ErrorKind.APP_ERROR, shortened(message))


def crashed(message: str) -> StepError:
    """The connection to the app broke before it answered; the app's log may tell why."""
    return UnexplainedError(Stage.CALL, ErrorKind.CRASHED, shortened(message))


def too_complex(why: str) -> TooComplexError:
    """The app answered with more values than anybody reads."""
    return TooComplexError(Stage.OUTPUT, ErrorKind.BAD_OUTPUT, f"the app's answer {why}")


def bad_output(message: str) -> StepError:
    """The app answered, but not in a way that can be used."""
    return StepError(Stage.OUTPUT, ErrorKind.BAD_OUTPUT, shortened(message))


def check_answer(depth: int, files: int) -> None:
    """Raise StepError of kind `bad_output` for an answer that is nested too deeply, or has too many files."""
    if depth > MAX_DEPTH:
        raise bad_output(f"the app's answer is nested deeper than {MAX_DEPTH} levels")
    if files > MAX_FILES:
        raise bad_output(f"the app gave more than {MAX_FILES} files")


class CannotFillError(Exception):
    """A slot cannot be filled; the message says which and what would do."""
