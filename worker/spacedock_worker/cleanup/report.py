"""What a clean-up freed, or would free (values)."""

from __future__ import annotations

from dataclasses import dataclass, field

from spacedock.replies.host import CleanupReply, FreedItem, FreedKind

KINDS = ("results", "answers", "files", "containers", "scratch", "caches", "images")
"""What is cleaned up, in this order: jobs' records, their files, and so on; the words of every report."""


@dataclass(frozen=True, slots=True)
class Freed:
    """`count` things of one kind with `bytes` together; `name` says which, where it is one thing."""

    kind: str
    bytes: int
    name: str | None = None
    count: int = 1


@dataclass(slots=True)
class Report:
    """Grows while a clean-up goes on; `left` says what could not be removed, and why."""

    dry_run: bool
    freed: list[Freed] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def add(self, kind: str, size: int, name: str | None = None, count: int = 1) -> None:
        """Note what was freed; nothing at all is not noted."""
        if count:
            self.freed.append(Freed(kind, size, name, count))

    @property
    def bytes(self) -> int:
        """All bytes together."""
        return sum(item.bytes for item in self.freed)

    def totals(self) -> dict[str, FreedKind]:
        """Counts and bytes of each kind."""
        return {
            kind: {
                "count": sum(item.count for item in self.freed if item.kind == kind),
                "bytes": sum(item.bytes for item in self.freed if item.kind == kind),
            }
            for kind in KINDS
        }

    def told(self) -> CleanupReply:
        """The report on the wire."""
        items: list[FreedItem] = [
            {"kind": i.kind, "name": i.name, "bytes": i.bytes} for i in self.freed if i.name
        ]
        return {
            "dry_run": self.dry_run,
            "bytes": self.bytes,
            "kinds": self.totals(),
            "items": items,
            "left": self.left,
        }
