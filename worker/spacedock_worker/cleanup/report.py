"""What a clean-up freed, or would free."""

from __future__ import annotations

from spacedock.replies.host import CleanupReply, FreedItem, FreedKind

KINDS = ("results", "answers", "files", "containers", "scratch", "caches", "images")
"""What is cleaned up, in this order: jobs' records, their files, and so on; the words of every report."""


class Report:
    """Grows while a clean-up goes on; `left` says what could not be removed, and why."""

    def __init__(self, dry_run: bool) -> None:
        self.dry_run = dry_run
        self.kinds: dict[str, FreedKind] = {kind: {"count": 0, "bytes": 0} for kind in KINDS}
        self.items: list[FreedItem] = []
        self.left: list[str] = []

    def add(self, kind: str, size: int, name: str | None = None, count: int = 1) -> None:
        """Note `count` things with `size` bytes together; `name` says which, where it is one thing."""
        if not count:
            return
        self.kinds[kind]["count"] += count
        self.kinds[kind]["bytes"] += size
        if name:
            self.items.append({"kind": kind, "name": name, "bytes": size})

    @property
    def bytes(self) -> int:
        """All bytes together."""
        return sum(total["bytes"] for total in self.kinds.values())

    def told(self) -> CleanupReply:
        """The report on the wire."""
        return {
            "dry_run": self.dry_run,
            "bytes": self.bytes,
            "kinds": self.kinds,
            "items": self.items,
            "left": self.left,
        }
