"""How much of the HTTP door each principal takes: requests a second, and requests at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

from spacedockd.http.errors import HttpError
from spacedockd.http.settings import HttpLimits

_BURST_SECONDS = 10.0
_MOST_PRINCIPALS = 2000


@dataclass(slots=True)
class Account:
    """What a principal has left: `allowed` requests as of `at`, and those that are `open`."""

    allowed: float
    at: float
    open: int = 0


class Meter:
    """Counts the requests of each principal. `clock` gives monotonic seconds."""

    def __init__(self, limits: HttpLimits, clock: Callable[[], float] = monotonic) -> None:
        self._limits, self._clock = limits, clock
        self._accounts: dict[str, Account] = {}

    @contextmanager
    def counted(self, principal_id: str) -> Iterator[None]:
        """Count a request while it is open. Raises HttpError (429) where it is one too many."""
        account, burst = self._account(principal_id), self._limits.rate * _BURST_SECONDS
        now = self._clock()
        account.allowed = min(burst, account.allowed + (now - account.at) * self._limits.rate)
        account.at = now
        if account.allowed < 1:
            seconds = (1 - account.allowed) / self._limits.rate
            raise _too_many(f"more than {self._limits.rate:g} requests a second", seconds)
        if account.open >= self._limits.concurrent:
            raise _too_many(f"{self._limits.concurrent} requests are open", 1.0)
        account.allowed -= 1
        account.open += 1
        try:
            yield
        finally:
            account.open -= 1

    def _account(self, principal_id: str) -> Account:
        if len(self._accounts) > _MOST_PRINCIPALS:
            # Whoever has nothing open may begin anew: there are fewer tokens than that at a time.
            self._accounts = {who: one for who, one in self._accounts.items() if one.open}
        new = Account(self._limits.rate * _BURST_SECONDS, self._clock())
        return self._accounts.setdefault(principal_id, new)


def _too_many(what: str, seconds: float) -> HttpError:
    after = str(max(1, round(seconds)))
    return HttpError(
        429, "too_many_requests", f"{what} by this token: try again later", headers={"Retry-After": after}
    )
