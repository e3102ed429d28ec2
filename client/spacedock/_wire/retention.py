"""What a queue's daemons say for all of its hosts and clients, kept in Redis: how long what is kept."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from spacedock.errors import BadRequestError

HOUR_S = 3600
DAY_S = 24 * HOUR_S
MAX_KEEP_S = 30 * DAY_S
"""The longest time for which anything can be asked to be kept."""


UPLOAD_GRACE_S = 3600
"""How long an uploaded file waits for the job that needs it."""

PRIVATE_GRACE_S = 600
"""How long a private job's uploaded file waits for its job."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")


def seconds_of(text: str) -> float:
    """The seconds of an age such as "24h", "90m", "7d" or "30" (seconds). Raises BadRequestError."""
    found = _AGE.fullmatch(text.strip().lower())
    if found is None:
        raise BadRequestError(f"'{text}' is no age: write 24h, 90m, 7d or seconds")
    return float(found.group(1)) * _UNITS[found.group(2) or "s"]


def _seconds(value: object) -> object:
    try:
        return seconds_of(value) if isinstance(value, str) else value
    except BadRequestError as error:
        raise ValueError(str(error)) from None


def check_keep(seconds: float) -> float:
    """The time for which a job asks its result to be kept. Raises ValueError where it is out of bounds."""
    if not 1 <= seconds <= MAX_KEEP_S:
        raise ValueError("a result is kept for at least 1 s and at most 30d")
    return seconds


KeepFor = Annotated[float, BeforeValidator(_seconds), AfterValidator(check_keep)]
"""A time as people give it, "7d" or a number of seconds; a number once it is read."""

_Kept = Annotated[int, BeforeValidator(_seconds), Field(ge=60, le=MAX_KEEP_S)]


class Retention(BaseModel):
    """How many seconds what is kept after a job's end; `--keep-for` of a job goes before.

    `results` are records, results and files; `dead` those of jobs that died with their workers, for a person
    to look at; `private` those of jobs in privacy mode that nobody reads; `events` the last
    events, after which nothing happened.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    results: _Kept = DAY_S
    dead: _Kept = 7 * DAY_S
    private: _Kept = HOUR_S
    events: _Kept = DAY_S


DEFAULTS = Retention()
