"""Logging: structlog's events as JSON lines, or pretty on a terminal; on standard error."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress
from typing import Literal, TextIO, cast

import structlog

LogFormat = Literal["auto", "json", "pretty"]
LogLevel = Literal["debug", "info", "warning", "error"]


def configure(log_format: LogFormat, level: LogLevel) -> None:
    """Set up structlog, and what other libraries log from warnings upwards, in the same shape."""
    pretty = log_format == "pretty" or (log_format == "auto" and sys.stderr.isatty())
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if pretty else "iso", utc=not pretty),
        without_values,
    ]
    ending: list[structlog.types.Processor] = (
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=24)]
        if pretty
        else [structlog.processors.JSONRenderer(default=str)]
    )
    structlog.configure(
        processors=[*shared, *ending],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        # One write for each line: the daemon and its children share one log.
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, _Log(sys.stderr))),
        # Every logger follows what is configured later, such as another level.
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(_Log(sys.stderr))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _first_line], processors=[_strip, *ending]
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


class _Log:
    """Loses lines that cannot be written: a log whose disk is full, or whose reader is gone, ends no job."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write, if that is possible."""
        with suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        """Have it written, if that is possible."""
        with suppress(OSError, ValueError):
            self._stream.flush()


def without_values(
    _logger: structlog.types.WrappedLogger, _name: str, event: structlog.types.EventDict
) -> structlog.types.EventDict:
    """Turn an exception into where it was and of which type: its words and variables may hold prompts."""
    info = event.pop("exc_info", None)
    error = info[1] if isinstance(info, tuple) else sys.exc_info()[1] if info is True else info
    if isinstance(error, BaseException):
        event["exception"] = "\n".join(_places(error))
    return event


def _places(error: BaseException) -> Iterator[str]:
    """The error, what is in it and what it came from: for each its type, and its frames, innermost first."""
    frames = traceback.extract_tb(error.__traceback__)
    where = ", ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    yield f"{type(error).__name__}: {where}"
    for inner in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        yield from _places(inner)
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None:
        yield from _places(before)


def _first_line(
    _logger: structlog.types.WrappedLogger, _name: str, event: structlog.types.EventDict
) -> structlog.types.EventDict:
    """Only the first line of what others log: asyncio's next ones quote a task's exception."""
    event["event"] = str(event["event"]).partition("\n")[0]
    return event


def _strip(
    _logger: structlog.types.WrappedLogger, _name: str, event: structlog.types.EventDict
) -> structlog.types.EventDict:
    return structlog.stdlib.ProcessorFormatter.remove_processors_meta(_logger, _name, event)
