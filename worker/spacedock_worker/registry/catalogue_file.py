"""catalogue.yaml: the shared catalogue written out in the seed's format, beside registry.yaml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog
import yaml

from spacedock._wire.wire import uncollected
from spacedock.errors import BadRequestError
from spacedock_worker.atomic_write import write_whole
from spacedock_worker.registry.entry import EntryError
from spacedock_worker.registry.host_file import text_of
from spacedock_worker.registry.reader import Reader
from spacedock_worker.registry.record import Record, record_of

log = structlog.get_logger()

FILE = "catalogue.yaml"

_HEAD = """\
# The Spaces that were added, found or validated on any host of this queue. Spacedock writes this file anew
# at each change, so edits here are lost: what you want of this host goes into registry.yaml, which counts
# before it. Carry this file to another queue as its registry.yaml, or as its first host's catalogue.yaml.

"""

_WIDTH = 10_000
"""No line is broken: a description stays one line, as a person would have it."""

_BREAKS = re.compile("[\x85\u2028\u2029]")
"""What PyYAML reads as the end of a line, unless it is written with an escape."""


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Writes texts as the registry's reader reads them."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if _BREAKS.search(text) else None)


_Dumper.add_representer(str, _text)


@uncollected()
def rendered(records: Mapping[str, Record], head: str = _HEAD) -> str:
    """The catalogue as a person may read it, below a `head` of comments."""
    spaces: dict[str, Any] = {}
    categories: dict[str, list[str]] = {}
    for name, record in sorted(records.items()):
        if record.entry is None:
            continue
        spaces[name] = {
            "id": name,
            **record.entry.model_dump(mode="json", exclude_unset=True, exclude={"id"}),
        }
        if record.whole:
            categories.setdefault(record.entry.category, []).append(name)
    document: dict[str, Any] = {"spaces": spaces, "categories": categories}
    if removed := sorted(name for name, record in records.items() if record.entry is None):
        document["removed"] = removed
    return head + yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)


class CatalogueFile:
    """The file beside one registry.yaml. Its methods block."""

    def __init__(self, registry: Path) -> None:
        self.path = registry.with_name(FILE)
        self._told, self._unreadable = "", False

    def write(self, records: Mapping[str, Record]) -> None:
        """Write the catalogue out; a folder that cannot be written to is told of once.

        A file that could not be read is kept beside it.
        """
        text = rendered(records)
        try:
            if self._unreadable:
                # A person may mend it yet: where Redis was emptied, nothing else says what was in it.
                with suppress(FileNotFoundError):
                    self.path.replace(self.path.with_name(f"{FILE}.unreadable"))
                self._unreadable = False
            if not self.path.exists() or self.path.read_bytes() != text.encode():
                write_whole(self.path, text.encode())
            self._told = ""
        except OSError as error:
            if self._told != str(error):
                log.warning("catalogue.not_written", path=str(self.path), reason=str(error))
            self._told = str(error)

    def read(self) -> dict[str, Record]:
        """What the file has, as far as it can be read; nothing where there is no file."""
        try:
            declared = Reader(self.path, removed=True).read(text_of(self.path))
        except FileNotFoundError:
            return {}
        except (BadRequestError, OSError, UnicodeDecodeError) as error:
            log.warning("catalogue.not_read", path=str(self.path), reason=str(error))
            self._unreadable = not isinstance(error, OSError)
            return {}
        for warning in declared.warnings:
            log.warning("catalogue.fault", reason=warning)
        found = {name: Record(None) for name in declared.removed}
        for name, entry in declared.spaces.items():
            try:
                found[name] = record_of(entry)
            except EntryError as error:
                log.warning("catalogue.fault", reason=str(error))
        return found
