"""From a base URL to a Gradio app that describes itself."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from spacedock.result import ErrorKind, Stage
from spacedock_worker.adapters.base import AnswerLimits
from spacedock_worker.adapters.faults import TooComplexError
from spacedock_worker.adapters.gradio.adapter import GradioAdapter
from spacedock_worker.adapters.gradio.description import describe
from spacedock_worker.adapters.gradio.direct import LearnedEndpoints
from spacedock_worker.adapters.http import AppHttp, AppRefusedError
from spacedock_worker.errors import StepError, UnexplainedError

READY_SECONDS = 2.0
DESCRIBE_SECONDS = 30.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Login:
    """Credentials of an app's own login page."""

    username: str
    password: str = field(repr=False)


async def connect(
    http: AppHttp,
    memory: LearnedEndpoints,
    limits: AnswerLimits,
    login: Login | None = None,
    *,
    direct: bool = True,
) -> GradioAdapter | None:
    """The adapter for the app, once `/config` describes one; None while anything else is there.

    Raises StepError where the app wants a login that is not given or not right, or is no Gradio that can be
    called.
    """
    try:
        config = await _config(http, limits)
    except AppRefusedError as error:
        if error.status != 401:
            return None
        config = await _config_behind(http, login, limits)
    if config is None or not await _shows_its_page(http):
        return None
    # A description may be large, and hostile: reading it must not hold up other calls.
    prefix = (await asyncio.to_thread(describe, {**config, "dependencies": []}, None)).prefix
    app = await asyncio.to_thread(describe, config, await _info(http, prefix, limits))
    return GradioAdapter(http, app, memory, limits, direct=direct)


async def is_gradio(http: AppHttp, limits: AnswerLimits) -> bool | None:
    """Whether `/config` describes a Gradio app; None while it gives no answer, or none in time."""
    try:
        return _is_config(await http.get_json("/config", limits.answer, READY_SECONDS))
    except AppRefusedError:
        return False
    except TimeoutError:
        return None
    except StepError as error:
        return None if error.kind is ErrorKind.CRASHED else False


async def check_config(http: AppHttp, limits: AnswerLimits) -> None:
    """Raise StepError where a Gradio server's own `/config` fails, so that nobody can call it."""
    try:
        await http.get_json("/config", limits.answer, READY_SECONDS)
    except AppRefusedError as error:
        if error.status < 500:
            return
        why = (
            f"this Space cannot be called: the app's own /config fails ({error}), so its page fails too: "
            "mend the app or its versions"
        )
        raise UnexplainedError(Stage.READY, ErrorKind.UNSUPPORTED, why) from error
    except (StepError, TimeoutError):
        return


async def _config(http: AppHttp, limits: AnswerLimits) -> Mapping[str, Any] | None:
    """What `/config` says, None where it is not Gradio's. Raises RefusedError, TooComplexError."""
    try:
        config = await http.get_json("/config", limits.answer, READY_SECONDS)
    except TooComplexError:
        raise
    except (StepError, TimeoutError):
        return None
    return config if _is_config(config) else None


def _is_config(config: Any) -> bool:
    return isinstance(config, dict) and isinstance(config.get("dependencies"), list)


async def _shows_its_page(http: AppHttp) -> bool:
    """Whether the first page is there. `/config` answers before it, and `/info`, which is slow, must not come
    in between: Gradio asks itself for its page after the start, and ends where that takes long.
    """
    try:
        async with asyncio.timeout(READY_SECONDS), http.request("GET", "/"):
            return True
    except AppRefusedError:
        return True
    except (StepError, TimeoutError):
        return False


async def _config_behind(
    http: AppHttp, login: Login | None, limits: AnswerLimits
) -> Mapping[str, Any] | None:
    """What `/config` says once the app has let us in."""
    if login is None:
        why = (
            "the app asks for a login. Give it as `auth` (username, password) in the Space's registry entry."
        )
        raise StepError(Stage.READY, ErrorKind.UNSUPPORTED, why)
    form = {"username": login.username, "password": login.password}
    try:
        await http.log_in(form)
        return await _config(http, limits)
    except AppRefusedError as error:
        why = f"the app refuses the login ({error}). Correct `auth` in the Space's registry entry."
        raise StepError(Stage.READY, ErrorKind.UNSUPPORTED, why) from error


async def _info(http: AppHttp, prefix: str, limits: AnswerLimits) -> Any:
    # `/info` fails in apps whose components it cannot describe; `/config` is enough to call them.
    try:
        return await http.get_json(f"{prefix}/info", limits.answer, DESCRIBE_SECONDS)
    except (AppRefusedError, StepError, TimeoutError) as error:
        log.info("gradio.info_refused", reason=type(error).__name__)
        return None
