"""The Spaces of the hosts of a queue: what the registry has, what the Hub has, and what is known of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from spacedock._stores.payloads import Payloads
from spacedock._wire.connection import told_as_ours
from spacedock._wire.rpc import Caller, OnProgress, Op, Reply, call_of
from spacedock._wire.wire import checked
from spacedock.errors import BadRequestError
from spacedock.files import Payload, media_type_of
from spacedock.prepare import hub_id_of
from spacedock.replies.collections import ExportReply, ImportReply
from spacedock.replies.host import CleanupReply
from spacedock.replies.spaces import (
    AboutReply,
    EndpointSchema,
    LockReply,
    LogsReply,
    ProfileReply,
    PullReply,
    RecommendReply,
    SearchReply,
    SpaceHere,
    SpaceProfile,
    SpacesData,
    ValidateReply,
)


class Spaces:
    """The Spaces that all hosts of the queue share, and those of the registry.yaml of the one that answers.

    Every method raises NoWorkerError after 5 s of silence.
    """

    def __init__(self, caller: Caller, payloads: Payloads, url: str) -> None:
        self._caller, self._payloads, self._url = caller, payloads, url

    async def list(self, *, status: bool = False) -> Reply:
        """All Spaces, and warnings about entries that cannot be read; `data` is as `SpacesData` says.

        With `status` it has what is there of each on the host.
        """
        return await self._call(Op.LIST, status=status)

    async def show(self, name: str) -> dict[str, Any]:
        """One Space's entry. Raises SpaceNotFoundError."""
        return (await self._call(Op.SHOW, name)).spaces[name]

    async def status(self, name: str) -> tuple[dict[str, Any], SpaceHere | None]:
        """One Space's entry, and what is there of it (None: that is not known).

        Raises SpaceNotFoundError.
        """
        reply = await self._call(Op.SHOW, name, status=True)
        there = checked(SpacesData, reply.data, Op.SHOW.value).get("status", {})
        return reply.spaces[name], there.get(name)

    async def endpoints(self, name: str) -> Sequence[EndpointSchema]:
        """What the Space's app can do, as it said when it last ran on the host; else empty.

        The first does the app's main work. Names and words are the app's own. Raises SpaceNotFoundError.
        """
        return (await self._caller.get(call_of(Op.SHOW, name, endpoints=True), SpacesData))["endpoints"]

    async def add(
        self,
        name: str,
        entry: dict[str, Any],
        repository: Payload | None = None,
        *,
        replace: bool = False,
    ) -> dict[str, Any]:
        """Add a Space, or change fields of an existing one; `repository` is its packed directory.

        `entry` has the fields of registry.yaml; its `id` may be left out, and is its name. Other code under
        a name that is there needs `replace`; what the host allows the Space stays as it is. Raises
        BadRequestError, also where a wall of the host would be lower.
        """
        return await self._put(name, entry, repository, replace=replace)

    async def update(
        self, name: str, entry: dict[str, Any] | None = None, repository: Payload | None = None
    ) -> dict[str, Any]:
        """Change a Space that is there: its code (`repository`), fields of its entry, or both.

        All that is not named stays; `env` and `inputs` are changed key by key. Other code begins with an
        empty cache. Raises SpaceNotFoundError, and BadRequestError where a wall of the host would be lower.
        """
        return await self._put(name, entry or {}, repository, update=True)

    async def _put(
        self, name: str, entry: dict[str, Any], repository: Payload | None, **how: bool
    ) -> dict[str, Any]:
        ref, fields = None, dict(entry)
        if fields.pop("id", name) != name:
            raise BadRequestError(f"Space '{name}': its id says '{entry['id']}'. They are the same name.")
        if repository is not None:
            with told_as_ours(self._url):
                await self._payloads.upload([repository])
            ref = repository.ref
        call = call_of(Op.ADD, name, **how).model_copy(update={"entry": fields, "repository": ref})
        return (await self._caller.ask(call)).spaces[name]

    async def remove(self, name: str) -> CleanupReply:
        """Remove a Space, its containers and its cache; says what that freed. Raises SpaceNotFoundError."""
        return await self._caller.get(call_of(Op.REMOVE, name), CleanupReply)

    async def logs(self, name: str, lines: int = 100) -> dict[str, str]:
        """The last lines that a Space's containers have written to their logs, by the container's name.

        `name` is the registry's, a Hub id, or `./directory`. Secrets are masked. Raises BadRequestError
        where no container of it is here.
        """
        return (await self._caller.get(call_of(Op.LOGS, name, lines=lines), LogsReply))["logs"]

    async def profile(self, name: str) -> SpaceProfile:
        """What was measured of a Space where it ran; see docs/profiles.md. Raises SpaceNotFoundError."""
        return (await self._caller.get(call_of(Op.PROFILE, name), ProfileReply))["spaces"][name]

    async def profiles(self) -> dict[str, SpaceProfile]:
        """The profiles of all Spaces that have run, by name, each with its newest image alone."""
        return (await self._caller.get(call_of(Op.PROFILE), ProfileReply))["spaces"]

    async def lock(
        self, names: Iterable[str], *, start: bool = False, on_progress: OnProgress | None = None
    ) -> LockReply:
        """The lock of these Spaces; gets their images where they are not there.

        Where none is named, of all but those that Spacedock comes with and nobody has used (`left_out`), as
        far as they can be locked (`failed` has the others, with the reasons). With `start`, Spaces that have
        never run are started, so that their endpoints are known. Raises SpaceNotFoundError.
        """
        call = call_of(Op.LOCK, names=tuple(names), start=start)
        return await self._caller.get(call, LockReply, on_progress)

    async def export(self, names: Iterable[str] = (), category: str | None = None) -> ExportReply:
        """A collection of these Spaces, or of a category, to share with others: `text` is its YAML.

        Where neither is given, of all but those that Spacedock comes with. `notes` say what does not leave
        the host. Raises BadRequestError.
        """
        return await self._caller.get(call_of(Op.EXPORT, names=tuple(names), category=category), ExportReply)

    async def take_in(
        self,
        text: str,
        source: str = "collection",
        *,
        apply: bool = False,
        replace: bool = False,
        seen: str | None = None,
    ) -> ImportReply:
        """What a collection (its `text`, and the name of its file) changes; with `apply` it is taken in.

        All of it, or nothing where a Space is `refused`. Other code under a name that is there needs
        `replace`. With `seen`, of an earlier reply, only if that still is what changes; else BadRequestError.
        """
        call = call_of(Op.IMPORT, text=text, source=source, apply=apply, replace=replace, seen=seen)
        return await self._caller.get(call, ImportReply)

    async def pull(self, name: str, *, on_progress: OnProgress | None = None) -> PullReply:
        """Get a Space's image (a registry name, or a Hub id) ahead of its first job: pulled, else built.

        The host that answers gets it. Raises SpaceNotFoundError, and BadRequestError where it cannot be had.
        """
        return await self._caller.get(call_of(Op.PULL, name), PullReply, on_progress)

    async def validate(
        self,
        name: str,
        *,
        deep: bool = False,
        timeout: float | None = None,  # noqa: ASYNC109 - the worker bounds its trial call
        on_progress: OnProgress | None = None,
    ) -> ValidateReply:
        """Whether a Space (a registry name, or a Hub id) can run on the host, without getting it.

        With `deep` it is got, started and called once, within `timeout` seconds, and the answer has its
        endpoints and what each part took. Raises SpaceNotFoundError.
        """
        limit = {} if timeout is None else {"timeout": timeout}
        call = call_of(Op.VALIDATE, name, deep=deep, **limit)
        return await self._caller.get(call, ValidateReply, on_progress)

    async def recommend(
        self,
        text: str = "",
        *,
        files: Iterable[Path | str] = (),
        category: str | None = None,
        limit: int = 5,
        performance_first: bool = False,
    ) -> RecommendReply:
        """The Spaces of the registry that suit a task, by its words and the names of its files (not read).

        With a category, or a category's name for words, only Spaces of that. Raises BadRequestError.
        """
        call = call_of(
            Op.RECOMMEND,
            text=text,
            media_types=tuple(media_type_of(str(file)) for file in files),
            category=category,
            limit=limit,
            performance_first=performance_first,
        )
        return await self._caller.get(call, RecommendReply)

    async def search(self, query: str, category: str | None = None, limit: int = 20) -> SearchReply:
        """The Spaces that words find, in the registry and on the Hub.

        Raises BadRequestError, also where the Hub cannot be asked and nothing is known.
        """
        call = call_of(Op.SEARCH, query=query, category=category, limit=limit)
        return await self._caller.get(call, SearchReply)

    async def discover(self, category: str, limit: int = 20) -> SearchReply:
        """The Spaces of a category, here and on the Hub; as `search` gives them."""
        return await self._caller.get(call_of(Op.SEARCH, category=category, limit=limit), SearchReply)

    async def about(self, name: str) -> AboutReply:
        """What the Hub says of a Space: of `user/space`, its page's address, or a name in the registry.

        Raises SpaceNotFoundError, BadRequestError.
        """
        return await self._caller.get(call_of(Op.ABOUT, hub_id_of(name)), AboutReply)

    async def _call(self, op: Op, name: str | None = None, **options: Any) -> Reply:
        return await self._caller.ask(call_of(op, name, **options))
