"""The blocking twin of `Client.spaces`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

from spacedock.control import OnProgress, Reply
from spacedock.files import Payload
from spacedock.spaces import Spaces

Wait = Callable[[Coroutine[Any, Any, Any]], Any]
"""Runs a coroutine to its end, and gives what it returns."""


class SyncSpaces:
    """`Spaces` for code without asyncio: the same methods, each blocking until it is done."""

    def __init__(self, spaces: Spaces, wait: Wait) -> None:
        self._spaces, self._wait = spaces, wait

    def list(self, *, status: bool = False) -> Reply:
        """All Spaces; see `Spaces.list`."""
        reply: Reply = self._wait(self._spaces.list(status=status))
        return reply

    def show(self, name: str) -> dict[str, Any]:
        """One Space's entry; see `Spaces.show`."""
        return self._told(self._spaces.show(name))

    def add(
        self,
        name: str,
        entry: dict[str, Any],
        repository: Payload | None = None,
        *,
        replace: bool = False,
    ) -> dict[str, Any]:
        """Add a Space, or change one; see `Spaces.add`."""
        return self._told(self._spaces.add(name, entry, repository, replace=replace))

    def remove(self, name: str) -> dict[str, Any]:
        """Remove a Space, its containers and its cache; see `Spaces.remove`."""
        return self._told(self._spaces.remove(name))

    def search(self, query: str, category: str | None = None, limit: int = 20) -> dict[str, Any]:
        """The Spaces that words find, here and on the Hub; see `Spaces.search`."""
        return self._told(self._spaces.search(query, category, limit))

    def discover(self, category: str, limit: int = 20) -> dict[str, Any]:
        """The Spaces of a category, here and on the Hub; see `Spaces.discover`."""
        return self._told(self._spaces.discover(category, limit))

    def about(self, name: str) -> dict[str, Any]:
        """What the Hub says of a Space; see `Spaces.about`."""
        return self._told(self._spaces.about(name))

    def recommend(
        self, text: str = "", *, files: Iterable[Path | str] = (), **options: Any
    ) -> dict[str, Any]:
        """The Spaces that suit a task, the best first; see `Spaces.recommend`."""
        return self._told(self._spaces.recommend(text, files=files, **options))

    def validate(
        self, name: str, *, deep: bool = False, on_progress: OnProgress | None = None
    ) -> dict[str, Any]:
        """Whether a Space can run on the host; see `Spaces.validate`."""
        return self._told(self._spaces.validate(name, deep=deep, on_progress=on_progress))

    def profile(self, name: str) -> dict[str, Any]:
        """What was measured of a Space; see `Spaces.profile`."""
        return self._told(self._spaces.profile(name))

    def _told(self, asking: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
        told: dict[str, Any] = self._wait(asking)
        return told
