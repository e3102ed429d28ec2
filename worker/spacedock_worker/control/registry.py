"""The registry's answers to control calls: list, show, add, remove."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from redis.asyncio import Redis

from spacedock._stores.payloads import Payloads
from spacedock._wire.rpc import AddOptions, Call, Reply
from spacedock._wire.wire import uncollected
from spacedock.errors import BadRequestError
from spacedock.replies.spaces import AddedData
from spacedock.request import SPACE_NAME
from spacedock_worker.control.dispatcher import Asked
from spacedock_worker.hub.auto_register import Complete, guessed
from spacedock_worker.jobs.planner import undescribed
from spacedock_worker.registry.entry import TYPES, EntryError, SpaceEntry, Verdict
from spacedock_worker.registry.host_file import shipped
from spacedock_worker.registry.merging import How, is_other_code, settled
from spacedock_worker.registry.record import by_digest
from spacedock_worker.registry.registry import Registry
from spacedock_worker.registry.snapshot import EMPTY, Snapshot

CLIENT_FIELDS = frozenset(
    {
        "docker_image",
        "hub_id",
        "description",
        "category",
        "input_type",
        "output_type",
        "port",
        "status",
        "command",
        "base_path",
        "adapter",
        "operation",
        "direct",
        "endpoint",
        "inputs",
        "env",
        "start_timeout",
        "memory",
        "cpus",
        "calls",
        "network",
        "cache",
        "revision",
        "subdomain",
        "platform",
        "flavour",
        "alternates",
        "mcp",
        "trial",
        "image_digest",
    }
)
"""What a client may say of a Space: what it is, how it is spoken to, and what it needs.

`network` and `cache` can only take from a Space. A host alone decides, in its registry.yaml: what names
things of it (`repository`, `auth`, `secrets`), and what it gives away (`gpu`, `runtime`, `writable_root`).
What was found out, or told by the Hub, no client says (`verified`, `hardware`, `tags`, `likes`,
`confidence`).
"""


_OTHER_CODE = ("docker_image", "command", "operation", "env", "subdomain")
"""What makes another program of a Space of the Hub."""

_ALWAYS_TOLD = ("id", "description", "category", "input_type", "output_type", "port", "status")


def entry_of(snapshot: Snapshot, name: str) -> tuple[SpaceEntry, bool]:
    """The Space, and whether the registry has it: one of the Hub may be looked at before it is added.

    Raises SpaceNotFoundError.
    """
    if "/" in name and SPACE_NAME.fullmatch(name) and snapshot.find(name) is None:
        return undescribed(name, hub_id=name), False
    return snapshot.get(name), True


class RegistryHandler:
    """Serves one registry.

    `complete` finds out what a new entry does not say; without it only its name and description are asked.
    `shipped` names the Spaces of the last list that are as every host begins with them.
    """

    def __init__(
        self, registry: Registry, complete: Complete | None = None, files: str | None = None
    ) -> None:
        self._registry, self._complete, self._files = registry, complete, files
        self._listed: tuple[Snapshot, Reply] = (EMPTY, Reply())
        self.shipped: Sequence[str] = ()

    async def show(self, name: str | None) -> Reply:
        """One entry. Raises BadRequestError, SpaceNotFoundError."""
        return Reply(spaces={_named(name): _row((await self._registry.caught_up()).get(_named(name)))})

    async def entry(self, name: str | None) -> SpaceEntry:
        """The entry of a Space, or one for a Space of the Hub. Raises BadRequestError, SpaceNotFoundError."""
        return entry_of(await self._registry.caught_up(), _named(name))[0]

    async def remove(self, name: str | None) -> SpaceEntry | None:
        """Remove an entry; returns what it was. Raises BadRequestError, SpaceNotFoundError."""
        before = (await self._registry.caught_up()).spaces.get(_named(name))
        with _writing():
            await self._registry.remove(_named(name))
        return before

    async def add(self, asked: Asked[AddOptions]) -> Reply:
        """Add or change an entry; says whether the name was there, and whether it has other code now.

        Raises BadRequestError, SpaceNotFoundError, WireError.
        """
        call, name = asked.call, _named(asked.call.name)
        given, whole = await self._fields(call, asked.redis)
        how = How.REPLACE if asked.options.replace else How.ADD
        how = How.UPDATE if asked.options.update else how
        if how is How.UPDATE:
            (await self._registry.caught_up()).get(name)
        data: AddedData = {"replaced": False, "other_code": False}

        def change(before: SpaceEntry | None) -> Mapping[str, Any]:
            # What an unlisted Space of the Hub has left here is the listed one's.
            known = before or SpaceEntry(id=name, hub_id=name if "/" in name else None)
            data["replaced"], data["other_code"] = before is not None, is_other_code(known, given)
            return settled(before, given, whole, how)

        tar = (
            None
            if call.repository is None
            else await Payloads(asked.redis, self._files).repository(call.repository)
        )
        with _writing():
            entry = await self._registry.settle(name, change, tar)
        return Reply(spaces={name: _row(entry)}, data=data)

    async def list(self) -> Reply:
        """All rows; they are made once, for as long as the registry stays as it is."""
        snapshot = await self._registry.caught_up()
        await asyncio.to_thread(self._registry.write_out)
        if self._listed[0] is not snapshot:
            rows, self.shipped = await asyncio.to_thread(_rows, snapshot)
            self._listed = (snapshot, Reply(spaces=rows, warnings=snapshot.warnings))
        return self._listed[1]

    async def _fields(self, call: Call, redis: Redis) -> tuple[Mapping[str, Any], dict[str, Any]]:
        """What the client named of the entry, and this with what was found out.

        A path that a client names is refused: its repository travels as a payload.
        """
        refused = call.entry.keys() - CLIENT_FIELDS
        if refused:
            own = sorted(refused & SpaceEntry.model_fields.keys() - {"id"})
            if own:
                why = f"{', '.join(own)} can only be set in the registry's file on the host"
                raise BadRequestError(f"Space '{call.name}': {why}")
            raise BadRequestError(f"Space '{call.name}': unknown field {', '.join(sorted(refused))}")
        check_hub_name(str(call.name), call.entry, sent=call.repository is not None)
        check_types(str(call.name), call.entry)
        fields = guessed(str(call.name), call.entry)
        if self._complete is not None:
            fields = await self._complete(str(call.name), call.entry)
        if call.repository is None:
            return call.entry, fields
        sent = {"repository": by_digest(call.repository.sha256)}
        return call.entry | sent, fields | sent


def _named(name: str | None) -> str:
    if not name:
        raise BadRequestError("the call names no Space")
    return name


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BadRequestError(f"the registry cannot be written: {error}") from error


def check_hub_name(name: str, entry: Mapping[str, Any], *, sent: bool = False) -> None:
    """Raise BadRequestError where other code (a repository that was `sent`, too) would go by a Hub id.

    Whoever asks for that Space by its id would get the code instead.
    """
    other = [field for field in _OTHER_CODE if entry.get(field) is not None]
    other += ["a repository"] if sent else []
    other += ["hub_id"] if entry.get("hub_id") not in (None, name) else []
    if "/" in name and other:
        why = f"its name is the id of a Space of the Hub, so it cannot have {', '.join(other)}"
        raise BadRequestError(f"Space '{name}': {why}. Choose a name without '/'")


def check_types(name: str, fields: Mapping[str, Any]) -> None:
    """Raise EntryError where a type that a client names is none that any Space has."""
    for field in ("input_type", "output_type"):
        value = fields.get(field)
        if isinstance(value, str) and not set(value.split("_and_")) <= {*TYPES, "unknown"}:
            allowed = f"{', '.join(TYPES)}, or several joined by _and_, such as text_and_image"
            raise EntryError(f"Space '{name}': {field} '{value}' is not one that there is. Give {allowed}")


@uncollected()
def _rows(snapshot: Snapshot) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The rows of a list, and the names of those that are as every host begins with them.

    What is as usual is said of the seed's fields only.
    """
    rows = {name: _row(entry, exclude_defaults=True) for name, entry in snapshot.spaces.items()}
    return rows, [name for name, entry in snapshot.spaces.items() if entry == shipped().get(name)]


def _row(entry: SpaceEntry, *, exclude_defaults: bool = False) -> dict[str, Any]:
    # A password, and where secrets are, stay on the host whose file it is in.
    hidden: Any = {"auth": {"password"}, "secrets": True}
    row = entry.model_dump(mode="json", exclude_none=True, exclude=hidden, exclude_defaults=exclude_defaults)
    if exclude_defaults:
        row |= {field: getattr(entry, field) for field in _ALWAYS_TOLD}
        if isinstance(entry.verified, Verdict):
            row["verified"] = entry.verified.model_dump(mode="json", exclude_none=True)
    return {**row, "secrets": sorted(entry.secrets)} if entry.secrets else row
