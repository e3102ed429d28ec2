"""What came of a case: by this adapter, and by gradio_client."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gradio_client import Client, handle_file
from tests.compat.case import Case, Official, Upload
from tests.compat.checks import FIXTURES, fixture

from spacedock.files import payload_of
from spacedock.result import ErrorKind
from spacedock_worker.adapters.base import Adapter, AppCall
from spacedock_worker.errors import StepError

CALL_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether the answer was right; `why` says what was wrong with it."""

    right: bool
    why: str = ""


async def ours(case: Case, app: Adapter) -> Outcome:
    """Make the call as the worker would, twice: the second time it may go another way."""
    files = tuple(payload_of(name, fixture(name)) for name in case.files)
    call = AppCall(case.prompt, files, dict(case.inputs), case.endpoint)
    outcomes = [await _once(case, app, call) for _ in range(2)]
    return next((outcome for outcome in outcomes if not outcome.right), outcomes[0])


async def _once(case: Case, app: Adapter, call: AppCall) -> Outcome:
    try:
        async with asyncio.timeout(CALL_SECONDS):
            answer = await app.call(call, lambda message, partial=None: None)
    except StepError as error:
        expected = case.error is not None and case.error in str(error)
        return Outcome(expected and error.kind is ErrorKind.APP_ERROR, f"{error.kind}: {error}")
    except TimeoutError:
        return Outcome(False, f"no answer within {CALL_SECONDS:g} s")
    if case.error is not None:
        return Outcome(False, f"no error, but {answer.text!r}")
    if case.check is not None:
        return Outcome(case.check(answer), f"{answer.text!r}, {answer.data!r}")
    return Outcome(answer.text == case.text, f"{answer.text!r}")


async def official(case: Case, base_url: str, version: str) -> Outcome | None:
    """The same call by gradio_client; None where the case does not say how."""
    if case.official is None:
        return None
    try:
        async with asyncio.timeout(CALL_SECONDS):
            return await _in_a_thread(partial(_predicted, case, case.official, base_url, version))
    except Exception as error:  # noqa: BLE001 - whatever the other client raises is its outcome
        why = (str(error) or type(error).__name__).splitlines()[0]
        return Outcome(False, f"{type(error).__name__}: {why[:120]}")


async def _in_a_thread(work: Callable[[], Outcome]) -> Outcome:
    """Its result, in a thread that nobody waits for: gradio_client may never return, nor be stopped."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Outcome] = loop.create_future()

    def settle(outcome: Outcome | None, error: Exception | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(outcome)

    def run() -> None:
        outcome, error = None, None
        try:
            outcome = work()
        except Exception as raised:  # noqa: BLE001 - the caller gets it
            error = raised
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, outcome, error)

    threading.Thread(target=run, daemon=True).start()
    return await done


def _predicted(case: Case, how: Official, base_url: str, version: str) -> Outcome:
    with TemporaryDirectory() as folder:
        client = Client(
            base_url,
            token=False,
            auth=case.auth,
            verbose=False,
            analytics_enabled=False,
            download_files=folder,
        )
        named = {"api_name": name} if (name := how.endpoint(version)) else {"fn_index": how.fn_index}
        returned = client.predict(*map(_argument, how.arguments(version)), **named)
        right = how.check(returned) if how.check else returned == case.text
        return Outcome(right, repr(returned)[:120])


def _argument(value: Any) -> Any:
    if isinstance(value, Upload):
        return handle_file(str(Path(FIXTURES) / value.name))
    if isinstance(value, list):
        return [_argument(item) for item in value]
    if isinstance(value, dict):
        return {key: _argument(item) for key, item in value.items()}
    return value
