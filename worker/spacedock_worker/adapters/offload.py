"""Reading what an app sent: at once where it is small, else in a process of its own with a deadline.

Parsing JSON holds the interpreter's lock until it is done, so a thread would stop the event loop as well.
Pickle crosses only the pipe between this process and its own child, which runs our code on an app's text:
no bytes of a stranger are ever unpickled.
"""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import resource
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from spacedock._wire.wire import uncollected
from spacedock_worker.adapters.faults import too_complex
from spacedock_worker.background import said_by
from spacedock_worker.errors import StepError

LIGHT = 20_000
"""Values that are read at once: that takes about 20 ms."""

SECONDS = 20.0
MEMORY = 2 * 2**30
AT_ONCE = 2
_NICE = 5
_STRUCTURE = (b",", b"[", b"{")

P = ParamSpec("P")
T = TypeVar("T")

_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


def weight(value: object, characters: int = 1000) -> int:
    """About how many values `value` holds, counted until there are more than LIGHT.

    Bytes are JSON, and count by their commas and brackets. So many characters of a text weigh as one value.
    """
    total, left = 0, [value]
    while left and total <= LIGHT:
        match left.pop():
            case bytes(data) | bytearray(data):
                total += sum(map(data.count, _STRUCTURE))
            case str(text):
                total += 1 + len(text) // characters
            case dict(items):
                total += 1 + len(items)
                left += items.values()
            case list(items) | tuple(items):
                total += 1 + len(items)
                left += items
    return total


async def read(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `function`, a pure one of a module, makes of the arguments.

    Raises what it raises, and StepError of kind `bad_output` where it takes too long or too much memory.
    """
    if weight(args) <= LIGHT:
        return function(*args, **kwargs)
    try:
        work = pickle.dumps((function, args, kwargs), pickle.HIGHEST_PROTOCOL)
    except RecursionError as error:
        raise too_complex("is nested too deeply") from error
    loop = asyncio.get_running_loop()
    async with _turns.setdefault(loop, asyncio.Semaphore(AT_ONCE)):
        try:
            said = await said_by(sys.executable, "-m", __name__, to=work, seconds=SECONDS)
        except TimeoutError:
            said = b""
    if not said:
        raise too_complex("takes too long to read: it holds too many values")
    with uncollected():
        good, found = pickle.loads(said)
    if not good:
        raise found
    result: T = found
    return result


def _answer(work: bytes) -> bytes:
    """The function's result, or the StepError that it raised."""
    function, args, kwargs = pickle.loads(work)
    try:
        answer = (True, function(*args, **kwargs))
        return pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)
    except StepError as error:
        return pickle.dumps((False, error))
    except RecursionError:
        return pickle.dumps((False, too_complex("is nested too deeply")))


def main() -> None:
    """Do the work that standard input brings; the limits hold when the worker has died, too."""
    os.nice(_NICE)
    gc.disable()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (int(SECONDS), int(SECONDS)))
    said = _answer(sys.stdin.buffer.read())
    sys.stdout.buffer.write(said)


if __name__ == "__main__":
    main()
