"""Webhooks as clients see them: who wants to hear of what, the secret, and what was delivered."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import uuid
from datetime import UTC, datetime
from ipaddress import IPv4Address
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from redis.asyncio import Redis

from spacedock._wire import keys
from spacedock._wire.connection import answer, told_as_ours
from spacedock.errors import BadRequestError

JOB, BATCH = "job:", "batch:"
"""How the names of what callbacks are for begin."""

SECRET_PREFIX = "whsec_"
KEEP_SECONDS = 7 * 86_400
"""How long a delivery is kept after it was made, or last tried."""

TEST = "webhook.test"

_URL = re.compile(r"https?://[^\s/@]+(/\S*)?", re.IGNORECASE)
_NUMBER = re.compile(r"\d+|0x[\da-f]*", re.IGNORECASE)
_LONGEST = 2000


def checked_url(url: str) -> str:
    """The address, if webhooks can go there. Raises ValueError."""
    if len(url) > _LONGEST or not _URL.fullmatch(url) or not _has_host(url):
        raise ValueError(f"'{url[:100]}' is not an address of a receiver, such as https://host/path")
    return url


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        # The port is read only now.
        return parts.port != 0 and _is_host(parts.hostname or "")
    except ValueError:
        return False


def _is_host(name: str) -> bool:
    """Whether it is a name or an address in its usual form: 2130706433 and 0x7f.1 mean 127.0.0.1 to some."""
    if ":" in name or not _NUMBER.fullmatch(name.rstrip(".").rpartition(".")[2]):
        return name != ""
    try:
        return IPv4Address(name) is not None
    except ValueError:
        return False


Callback = Annotated[str, AfterValidator(checked_url)]


class WebhookDelivery(BaseModel):
    """A webhook: what it tells, to whom, and how that went. Times are seconds since 1970 by Redis's clock.

    `said` is what came of the last try; `due` when the next one is (None: there is none).
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    type: str
    url: str
    state: Literal["waiting", "delivered", "failed"]
    tries: int = 0
    said: str = ""
    created: float
    due: float | None = None
    body: str = Field(default="", exclude=True)


class Webhooks:
    """The webhooks of a queue. Raises NotConnectedError, RefusedError as `Client` does."""

    def __init__(self, redis: Redis, url: str) -> None:
        self._redis, self._url = redis, url

    async def of_batch(self, batch_id: str, url: str) -> None:
        """Have `url` told when the batch has ended: to be called once all of its jobs are submitted.

        Raises BadRequestError.
        """
        with told_as_ours(self._url):
            await answer(self._redis.hset(keys.CALLBACKS, BATCH + batch_id, check_callback(url)))

    async def secret(self) -> str:
        """The secret that all webhooks are signed with, made at its first use."""
        with told_as_ours(self._url):
            made = SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()
            await self._redis.set(keys.WEBHOOK_SECRET, made, nx=True)
            return str(await answer(self._redis.get(keys.WEBHOOK_SECRET)), "ascii")

    async def list(self, limit: int = 100) -> list[WebhookDelivery]:
        """The newest deliveries."""
        with told_as_ours(self._url):
            pattern = keys.WEBHOOK + "*"
            ids = [_id(key) async for key in self._redis.scan_iter(match=pattern, count=1000, _type="hash")]
            found = [one for webhook_id in ids if (one := await self._read(webhook_id)) is not None]
        return sorted(found, key=lambda one: (one.created, one.id), reverse=True)[:limit]

    async def find(self, webhook_id: str) -> WebhookDelivery:
        """The delivery of that id. Raises BadRequestError."""
        with told_as_ours(self._url):
            if (found := await self._read(webhook_id)) is None:
                raise BadRequestError(f"no webhook {webhook_id}: see `spacedock webhooks list`")
            return found

    async def tell(self, url: str, kind: str, data: dict[str, Any]) -> str:
        """Send this to that address, and return its id, which is the same if it is told again.

        Raises BadRequestError.
        """
        webhook_id = id_of(check_callback(url), kind, data)
        with told_as_ours(self._url):
            now = (await self._redis.time())[0]
            row = {"url": url, "type": kind, "body": body_of(webhook_id, kind, data, now), "created": now}
            await self._owed(webhook_id, row, now)
        return webhook_id

    async def test(self, url: str) -> str:
        """Send a test to that address; returns its id. Raises BadRequestError."""
        return await self.tell(url, TEST, {"id": uuid.uuid4().hex})

    async def redeliver(self, webhook_id: str) -> str:
        """Send a webhook again, now, whatever came of it before; returns its id. Raises BadRequestError."""
        await self.find(webhook_id)
        with told_as_ours(self._url):
            await self._owed(webhook_id, {}, (await self._redis.time())[0])
        return webhook_id

    async def note(self, webhook_id: str, said: str, *, delivered: bool, again: int | None) -> None:
        """Write the outcome of a try. The next try is `again` seconds from now (None: no more tries)."""
        now = (await self._redis.time())[0]
        state = "delivered" if delivered else "failed" if again is None else "waiting"
        async with self._redis.pipeline() as pipe:
            pipe.hset(keys.WEBHOOK + webhook_id, mapping={"state": state, "said": said})
            pipe.hincrby(keys.WEBHOOK + webhook_id, "tries", 1)
            pipe.expire(keys.WEBHOOK + webhook_id, KEEP_SECONDS)
            if again is None:
                pipe.zrem(keys.WEBHOOKS, webhook_id)
            else:
                pipe.zadd(keys.WEBHOOKS, {webhook_id: now + again})
            await pipe.execute()

    async def _owed(self, webhook_id: str, row: dict[str, str | int], now: int) -> None:
        fresh = {"state": "waiting", "tries": 0, "said": ""}
        async with self._redis.pipeline() as pipe:
            pipe.hset(keys.WEBHOOK + webhook_id, mapping={**row, **fresh})
            pipe.expire(keys.WEBHOOK + webhook_id, KEEP_SECONDS)
            pipe.zadd(keys.WEBHOOKS, {webhook_id: now})
            await pipe.execute()

    async def _read(self, webhook_id: str) -> WebhookDelivery | None:
        row = await answer(self._redis.hgetall(keys.WEBHOOK + webhook_id))
        text = {name.decode(errors="replace"): value.decode(errors="replace") for name, value in row.items()}
        due = await answer(self._redis.zscore(keys.WEBHOOKS, webhook_id))
        try:
            return WebhookDelivery.model_validate({**text, "id": webhook_id, "due": due})
        except ValidationError:
            # Somebody else's rubbish, or nothing.
            return None


def id_of(*told: Any) -> str:
    """The id of a webhook, made of what it tells: a receiver that hears twice sees that it does."""
    return f"evt_{hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]}"


def body_of(webhook_id: str, kind: str, data: dict[str, Any], now: float) -> str:
    """The payload, in the shape of OpenAI's webhooks."""
    told = {"object": "event", "id": webhook_id, "type": kind, "created_at": int(now)}
    stamp = datetime.fromtimestamp(int(now), UTC).isoformat().replace("+00:00", "Z")
    return json.dumps({**told, "timestamp": stamp, "data": data})


def _id(key: bytes) -> str:
    return key.decode(errors="replace").removeprefix(keys.WEBHOOK)


def check_callback(url: str) -> str:
    """The address, if webhooks can go there. Raises BadRequestError."""
    try:
        return checked_url(url)
    except ValueError as error:
        raise BadRequestError(f"callback: {error}") from None
