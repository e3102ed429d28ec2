"""Who makes a request is found out here, by the owner's token, another one, or the unix socket; and how much
each may ask."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from spacedock._wire.view.tokens import Tokens, hash_of
from spacedockd.http.access import OWNER, Principal, identify, is_public
from spacedockd.http.errors import HttpError
from spacedockd.http.guards import is_local_socket
from spacedockd.http.page.routes import is_let_in
from spacedockd.http.settings import HttpLimits, HttpSettings

_BURST_SECONDS = 10.0
_MOST_PRINCIPALS = 2000


class Authenticator:
    """Knows the principal of a request. `own` is the owner's token, in the clear."""

    def __init__(self, settings: HttpSettings, own: str, tokens: Tokens) -> None:
        self._settings, self._own, self._tokens = settings, own, tokens
        self._meter = Meter(settings.limits)

    def middleware(self) -> Middleware:
        """Let nobody pass whose token is not known, and count the requests of all others."""

        @web.middleware
        async def authenticated(request: web.Request, handler: Handler) -> web.StreamResponse:
            if is_public(request.match_info.handler):
                return await handler(request)
            principal = await self._principal(request)
            identify(request, principal)
            with self._meter.counted(principal.id):
                return await handler(request)

        return authenticated

    async def _principal(self, request: web.Request) -> Principal:
        """Who makes the request. Raises HttpError (401)."""
        if is_local_socket(request) or self._settings.token == "none":
            return OWNER
        text = _token_of(request)
        if text is None and is_let_in(self._own, request):
            return OWNER
        if text is None:
            raise _refused("a token is needed: send it as 'Authorization: Bearer TOKEN'")
        if hmac.compare_digest(hash_of(text), hash_of(self._own)):
            return OWNER
        if (token := await self._tokens.find(text)) is not None:
            return Principal(token.id, token.name, token.scope)
        raise _refused("this token is not known (any more)")


def _token_of(request: web.Request) -> str | None:
    """The token as OpenAI's clients send it, as gradio_client does (`token=`), or as Anthropic's do."""
    for header in ("Authorization", "X-HF-Authorization"):
        kind, _, text = request.headers.get(header, "").partition(" ")
        if kind.lower() == "bearer" and text.strip():
            return text.strip()
    return request.headers.get("X-Api-Key")


def _refused(why: str) -> HttpError:
    advice = "`spacedock token show` prints that of this host's own user, `spacedock page` lets a browser in"
    return HttpError(401, "token", f"{why}; {advice}", headers={"WWW-Authenticate": "Bearer"})


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
