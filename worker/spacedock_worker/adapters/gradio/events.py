"""Following one call through the messages of Gradio's queue, the same in all its protocols."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

from spacedock_worker.adapters.base import OnCallProgress
from spacedock_worker.adapters.faults import app_error, bad_input, bad_output, crashed, shortened, unexplained
from spacedock_worker.adapters.gradio.output import read_outputs
from spacedock_worker.adapters.offload import LIGHT, weight
from spacedock_worker.errors import StepError

WORK = 2**24
"""What the edits of one message may cost: characters and items that are copied or moved (about 20 ms)."""

_EACH = 500


class BadEditError(Exception):
    """An edit does not fit the value that it edits, or the edits are too much work."""


class Editor:
    """Makes the edits of one message, within its bound of work."""

    def __init__(self, work: int = WORK) -> None:
        self._left = work

    def applied(self, value: Any, edits: object) -> Any:
        """`value` after `edits`, a list of [action, path, new]; the path leads through keys and indices.

        `value` itself may be changed. Raises BadEditError where the edits are not edits, do not fit, or are
        more than the bound allows.
        """
        if not isinstance(edits, list):
            raise BadEditError
        for edit in edits:
            match edit:
                case [str(action), list(path), new]:
                    self._spend(_EACH + len(path))
                    value = self._edited(value, action, path, new)
                case _:
                    raise BadEditError
        return value

    def _edited(self, value: Any, action: str, path: Sequence[Any], new: Any) -> Any:
        try:
            if not path:
                return self._sum(value, new) if action == "append" else new
            *way, last = path
            place = value
            for step in way:
                place = place[step]
            if action == "replace":
                place[last] = new
            elif action == "append":
                place[last] = self._sum(place[last], new)
            elif action == "delete":
                self._spend(len(place))
                del place[last]
            elif isinstance(place, list):
                self._spend(len(place))
                place.insert(last, new)
            else:
                place[last] = new
        except (TypeError, KeyError, IndexError, AttributeError, ValueError, OverflowError) as error:
            raise BadEditError from error
        return value

    def _sum(self, old: Any, new: Any) -> Any:
        """Both together: a text, or a list, that is copied with every edit."""
        self._spend(len(old) if isinstance(old, str | list) else 0)
        return old + new

    def _spend(self, work: int) -> None:
        self._left -= work
        if self._left < 0:
            raise BadEditError


PROGRESS_CHARACTERS = 200
PARTIAL_CHARACTERS = 4000
MAX_RANK = 10**12
PARTIAL_SECONDS = 0.1
LIVELY_SECONDS = 2.0
NO_REASON = "the app failed without saying why"


class AppQueueFullError(Exception):
    """The app's queue takes no more calls for now."""


@dataclass(slots=True)
class Follower:
    """Hears the messages of one call: tells its progress once each, keeps its growing outputs, knows its end.

    `components` are the types of the outputs. From the protocol sse_v2 on, outputs that grow come as `edits`.
    `started` says that the app has begun to work on the call, `completed` that it has ended it, `stopped`
    that it gave up a call that was cut off; `streamed_at` is when the answer last grew.
    """

    on_progress: OnCallProgress
    components: Sequence[str | None]
    edits: bool = False
    clock: Callable[[], float] = monotonic
    started: bool = False
    completed: bool = False
    stopped: bool = False
    streamed_at: float | None = None
    _told: str = ""
    _grown: list[Any] | None = None
    _shown_at: float | None = None
    _broken: bool = False

    def hear(self, message: object) -> list[Any] | None:
        """Take the next message; the outputs by position once the call is complete, else None.

        Raises QueueFullError, or StepError: `app_error`, `crashed`, or `bad_output` for what is no message.
        """
        if not isinstance(message, dict):
            raise bad_output("the app's queue sent a message that is not Gradio's")
        kind = message.get("msg")
        if kind == "queue_full":
            raise AppQueueFullError
        if kind in ("unexpected_error", "server_stopped"):
            raise crashed(f"the app stopped before it answered: {_text(message.get('message')) or kind}")
        if kind == "process_completed":
            self.completed = True
            return outputs_of(message)
        self.started = self.started or kind == "process_starts"
        if kind in ("process_generating", "process_streaming"):
            self._stream(message)
        elif text := _progress_text(message):
            self._tell(text)
        return None

    @property
    def at_work(self) -> bool:
        """Whether the app may be at work on the call at this moment."""
        return self.started and not self.completed and not self.stopped

    @property
    def lively(self) -> bool:
        """Whether the answer has just grown: such an app looks after a cancellation before it goes on."""
        return self.streamed_at is not None and self.clock() - self.streamed_at < LIVELY_SECONDS

    def _tell(self, text: str) -> None:
        text = shortened(text, PROGRESS_CHARACTERS)
        if text != self._told:
            self._told = text
            self.on_progress(text)

    def _stream(self, message: dict[str, Any]) -> None:
        """Let the answer grow. What cannot be understood is left out: the whole answer comes at the end."""
        output = message.get("output")
        data = output.get("data") if isinstance(output, dict) else None
        self.streamed_at = self.clock()
        if not isinstance(data, list) or self._broken:
            return
        try:
            self._grown = self._next(data)
        except BadEditError:
            self._grown, self._broken = None, True
            return
        if self._shown_at is None or self.streamed_at - self._shown_at >= PARTIAL_SECONDS:
            self._told, self._shown_at = "answering", self.streamed_at
            self.on_progress("answering", self._partial())

    def _next(self, data: list[Any]) -> list[Any]:
        if self.edits and self._grown is not None:
            if len(data) != len(self._grown):
                raise BadEditError
            editor = Editor()
            data = [editor.applied(value, edits) for value, edits in zip(self._grown, data, strict=True)]
        if weight(data, characters=10) > LIGHT:
            # To show so long an answer again and again would hold up other calls.
            raise BadEditError
        return data

    def _partial(self) -> str | None:
        try:
            text = read_outputs(self.components, self._grown or []).text
        except StepError:
            return None
        return text[-PARTIAL_CHARACTERS:] if text else None


def outputs_of(message: dict[str, Any]) -> list[Any]:
    """The outputs of a completed call. Raises StepError: `app_error` with the app's words, `bad_output`."""
    output = message.get("output")
    if not message.get("success", True):
        raise failure(output)
    data = output.get("data") if isinstance(output, dict) else None
    if not isinstance(data, list):
        raise bad_output("the app completed the call without an output")
    return data


_OF_THE_REQUEST = re.compile(
    r"Value:? .{1,500}? is (not in the list of choices|(greater|less) than m(ax|in)imum value)"
    r"|Invalid file type|Invalid JSON string|(Audio|Video) is too (long|short), and must be"
    r"|Data incompatible with .{1,30} format",
    re.DOTALL,
)
"""How Gradio's own components (3.50 to 6.31) say that they do not take what was sent."""


def failure(output: object) -> StepError:
    """The app's own reason in an answer that says no, else that it gave none."""
    error = output.get("error") if isinstance(output, dict) else None
    reason = _unquoted(_text(error))
    if _OF_THE_REQUEST.match(reason):
        return bad_input(reason)
    return app_error(reason) if reason else unexplained(NO_REASON)


def _unquoted(text: str) -> str:
    """The words of gr.Error, which until Gradio 4 come as Python would write them."""
    if text[:1] not in ("'", '"') or text[-1:] != text[:1]:
        return text
    try:
        return str(ast.literal_eval(text))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _progress_text(message: dict[str, Any]) -> str:
    match message:
        case {"msg": "estimation", "rank": int(rank)} if 0 <= rank < MAX_RANK:
            return f"queue position {rank + 1}"
        case {"msg": "process_starts"}:
            return "running"
        case {"msg": "progress", "progress_data": [*_, dict(unit)]}:
            return _unit_text(unit)
        case {"msg": "log", "log": str(text)}:
            return text
    return ""


def _unit_text(unit: dict[str, Any]) -> str:
    index, length, share = unit.get("index"), unit.get("length"), unit.get("progress")
    desc = unit.get("desc") if isinstance(unit.get("desc"), str) else ""
    if isinstance(index, int) and isinstance(length, int) and max(abs(index), abs(length)) < MAX_RANK:
        return f"{desc or 'progress'} {index}/{length}"
    return f"{desc or 'progress'} {share:.0%}" if isinstance(share, float) else str(desc)


def _text(value: object) -> str:
    return shortened(value) if isinstance(value, str) else ""
