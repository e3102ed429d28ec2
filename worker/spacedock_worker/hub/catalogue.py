"""The Hub's Spaces, asked for live, and from what was kept on disk where the Hub cannot be asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from spacedock_worker.hub.cache import FOLDER, HubCache, Said
from spacedock_worker.hub.queries import ASK_SECONDS, discovery_of, merged, of_category
from spacedock_worker.hub.space import HubSpace, Texts, entry_of, of_info, of_search
from spacedock_worker.images.hub import is_offline
from spacedock_worker.images.hub_errors import HubError, HubOddError, HubSilentError, no_such_space
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.recommend.search import telling

if TYPE_CHECKING:
    from huggingface_hub import SpaceInfo

    from spacedock_worker.hub.client import HubClient

__all__ = ["Catalogue", "Found", "HubSpace", "entry_of"]

FRESH_SECONDS = 300.0
"""For how long an answer is given again without asking."""

_README_BYTES, _CODE_BYTES = 16_384, 131_072
_MOST_MODELS = 3
_KEPT, _TAGGED = 100, 20


@dataclass(frozen=True, slots=True)
class Found:
    """Spaces, the best first; `note` says what to know of the answer.

    `cached_at` is when the Hub said it (seconds since the epoch), None where that was just now.
    """

    spaces: tuple[HubSpace, ...]
    cached_at: float | None = None
    note: str | None = None


class Catalogue:
    """What the Hub has; every method raises HubError and its kinds. Close it at the end.

    Answers are kept in `state`; `now` gives seconds since the epoch.
    """

    def __init__(
        self, settings: ImageSettings, state: Path, now: Callable[[], float], pause: float = 1.0
    ) -> None:
        self._settings, self._pause = settings, pause
        self._hub: HubClient | None = None
        self._cache, self._now = HubCache(state / FOLDER, now), now

    def close(self) -> None:
        """Ask nothing more."""
        if self._hub is not None:
            self._hub.close()

    @property
    def offline(self) -> bool:
        """Whether this host was told not to ask the Hub."""
        return is_offline(self._settings)

    async def _client(self) -> HubClient:
        """The Hub's client, made at the first question."""
        # In a thread: it brings huggingface_hub, which takes 8 MB and longer than our loop may wait.
        await asyncio.to_thread(import_module, "spacedock_worker.hub.client")
        from spacedock_worker.hub.client import HubClient

        self._hub = self._hub or HubClient(self._settings, self._pause)
        return self._hub

    async def search(self, query: str, category: str | None = None, limit: int = 20) -> Found:
        """The Spaces that words find; with a category only those of it, as far as that can be told."""
        words = " ".join(query.split())[:400]
        asked = f"{words} ({category.replace('_', ' ')})" if category else words

        async def ask() -> tuple[HubSpace, ...]:
            found = merged([await self._searched(asked)])
            return of_category(found, category) if category else found

        def known(space: HubSpace) -> bool:
            return _matches(space, words) and category in (None, space.category)

        return await self._answer(f"search {asked}", ask, known, limit)

    async def discover(self, category: str, limit: int = 20) -> Found:
        """The Spaces of a category: what several searches find, and the most liked that have its tags."""
        wanted = discovery_of(category)

        async def ask() -> tuple[HubSpace, ...]:
            answers = await _all_that_came([self._searched(query) for query in wanted.queries])
            # Only after the searches: a Hub that is silent is not asked for lists.
            answers += await _all_that_came([self._listed(tag) for tag in wanted.tags], needed=False)
            return of_category(merged(answers), category)

        return await self._answer(
            f"discover {category}", ask, lambda space: space.category == category, limit
        )

    async def about(
        self, hub_id: str, *, whole: bool = True, seconds: float = ASK_SECONDS
    ) -> tuple[HubSpace, float | None]:
        """A Space, and when the Hub said it (None: now).

        Not `whole`, nothing is asked for but the Space's own page and README: neither its code, so that the
        secrets it needs are not known, nor its models.
        """
        kept = await asyncio.to_thread(self._cache.get, f"about {hub_id}")
        if kept is None and not whole:
            kept = await asyncio.to_thread(self._cache.get, f"brief {hub_id}")
        if kept is not None and kept.spaces and self._is_fresh(kept):
            return kept.spaces[0], kept.at
        try:
            space = await self._asked(hub_id, whole, seconds)
        except HubSilentError:
            kept = kept or await asyncio.to_thread(self._cache.get, f"brief {hub_id}")
            if kept is None or not kept.spaces:
                raise
            return kept.spaces[0], kept.at
        question = f"{'about' if whole else 'brief'} {hub_id}"
        await asyncio.to_thread(self._cache.put, question, (space,))
        return space, None

    async def _asked(self, hub_id: str, whole: bool, seconds: float) -> HubSpace:
        hub = await self._client()
        found = await hub.about(hub_id, seconds)
        try:
            texts = await self._texts(found, whole, seconds)
            space = of_info(found, texts)
        except (AttributeError, TypeError, ValueError) as error:
            raise HubOddError(type(error).__name__) from error
        if space is None:
            raise no_such_space(hub_id)
        return space

    async def _texts(self, found: SpaceInfo, whole: bool, seconds: float) -> Texts:
        """What can be read of the Space; a part that the Hub does not give is no reason to fail."""
        files = {str(sibling.rfilename) for sibling in found.siblings or ()}
        card = vars(found.card_data) if found.card_data else {}
        app = str(card.get("app_file") or "app.py")
        models = [str(model) for model in (found.models or ())[:_MOST_MODELS]] if whole else []
        read = [("README.md", _README_BYTES), *([(app, _CODE_BYTES)] if whole else [])]
        hub = await self._client()
        wanted = [hub.text(found, path, most, seconds) for path, most in read if path in files]
        texts = dict(zip([path for path, _ in read if path in files], await _texts(wanted), strict=True))
        tasks = await _texts([self._task(model, seconds) for model in models])
        return Texts(
            texts.get("README.md", ""),
            texts.get(app, ""),
            {model: task for model, task in zip(models, tasks, strict=True) if task},
        )

    async def _task(self, model: str, seconds: float) -> str:
        return await (await self._client()).task_of(model, seconds) or ""

    async def _searched(self, query: str) -> tuple[HubSpace, ...]:
        found = await (await self._client()).search(query)
        return _readable([of_search(one) for one in found])

    async def _listed(self, tag: str) -> tuple[HubSpace, ...]:
        found = await (await self._client()).tagged(tag, _TAGGED)
        return _readable([of_info(one) for one in found])

    async def _answer(
        self,
        question: str,
        ask: Callable[[], Awaitable[tuple[HubSpace, ...]]],
        known: Callable[[HubSpace], bool],
        limit: int,
    ) -> Found:
        """The answer to a question: a fresh one that was kept, the Hub's, or what is known without it."""
        kept = await asyncio.to_thread(self._cache.get, question)
        if kept is not None and self._is_fresh(kept):
            return Found(kept.spaces[:limit], kept.at)
        try:
            spaces = (await ask())[:_KEPT]
        except HubSilentError as error:
            return await self._remembered(kept, known, limit, error)
        await asyncio.to_thread(self._cache.put, question, spaces)
        return Found(spaces[:limit])

    async def _remembered(
        self, kept: Said | None, known: Callable[[HubSpace], bool], limit: int, error: HubSilentError
    ) -> Found:
        if kept is not None:
            age = age_of(self._now() - kept.at)
            return Found(kept.spaces[:limit], kept.at, f"{error.why}: this is what it said {age} ago")
        others = [space for space in await asyncio.to_thread(self._cache.all) if known(space)]
        if not others:
            raise error.with_traceback(None)
        note = f"{error.why}: these are Spaces that it told of before, for other questions"
        return Found(merged([others])[:limit], None, note)

    def _is_fresh(self, said: Said) -> bool:
        return 0 <= self._now() - said.at < FRESH_SECONDS


def age_of(seconds: float) -> str:
    """A stretch of time in one word and a number, such as "3 h"."""
    for unit, length in (("days", 2 * 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= length:
            return f"{seconds // (86_400.0 if unit == 'days' else length):.0f} {unit}"
    return f"{max(seconds, 0.0):.0f} s"


def _readable(found: Sequence[HubSpace | None]) -> tuple[HubSpace, ...]:
    return tuple(space for space in found if space is not None and space.callable_here)


def _matches(space: HubSpace, query: str) -> bool:
    words = telling(query)
    said = telling(f"{space.id} {space.title} {space.description} {' '.join(space.tags)}")
    return bool(words) and all(any(one.startswith(word) for one in said) for word in words)


async def _all_that_came(
    asking: Sequence[Awaitable[tuple[HubSpace, ...]]], *, needed: bool = True
) -> list[tuple[HubSpace, ...]]:
    """The answers that came; where none did and one is `needed`, the first error."""
    done = await asyncio.gather(*asking, return_exceptions=True)
    came = []
    for one in done:
        if isinstance(one, BaseException):
            if not isinstance(one, HubError):
                raise one
        else:
            came.append(one)
    if not came and needed and isinstance(done[0], BaseException):
        raise done[0]
    return came


async def _texts(asking: Sequence[Awaitable[str]]) -> list[str]:
    done = await asyncio.gather(*asking, return_exceptions=True)
    for one in done:
        if isinstance(one, BaseException) and not isinstance(one, HubError):
            raise one
    return [one if isinstance(one, str) else "" for one in done]
