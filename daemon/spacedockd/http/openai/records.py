"""Records of OpenAI's API on disk, such as files and batches: one JSON object each, by its id."""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from time import time
from typing import Any, BinaryIO

from spacedock_worker.atomic_write import write_whole
from spacedockd import paths
from spacedockd.http.errors import HttpError

_MOST_LISTED = 100


class Records:
    """The records of one kind; their ids begin with `kind`, and their files lie in `folder`."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._folder, self._kind = folder, kind
        self._id = re.compile(rf"{kind}[0-9a-f]{{32}}")
        paths.make_private(folder)

    def new_id(self) -> str:
        """An id that no record has."""
        return f"{self._kind}{uuid.uuid4().hex}"

    def path(self, id_: str, suffix: str = "") -> Path:
        """Where what belongs to a record lies. Raises HttpError (404) for what is no id."""
        if not self._id.fullmatch(id_):
            raise self._missing(id_)
        return self._folder / f"{id_}{suffix}"

    def put(self, record: Mapping[str, Any]) -> None:
        """Keep a record, whole or not at all, also after the machine loses its power."""
        raw = json.dumps(record).encode()
        write_whole(self.path(record["id"], ".json"), raw, 0o600, durable=True)

    def get(self, id_: str) -> dict[str, Any]:
        """The record of that id. Raises HttpError (404)."""
        with suppress(OSError, ValueError):
            record: dict[str, Any] = json.loads(self.path(id_, ".json").read_bytes())
            return record
        raise self._missing(id_)

    def content(self, id_: str) -> BinaryIO:
        """The content of a file, opened. Raises HttpError (404)."""
        with suppress(OSError):
            return self.path(id_, ".jsonl").open("rb")
        raise self._missing(id_)

    def delete(self, id_: str) -> None:
        """Remove a record and what belongs to it. Raises HttpError (404)."""
        self.get(id_)
        for path in self._folder.glob(f"{id_}*"):
            path.unlink(missing_ok=True)

    def all(self) -> list[dict[str, Any]]:
        """All records, the newest first."""
        found: list[dict[str, Any]] = []
        for path in self._folder.glob(f"{self._kind}*.json"):
            with suppress(HttpError):
                found.append(self.get(path.stem))
        return sorted(found, key=lambda one: (one["created_at"], one["id"]), reverse=True)

    def page(self, query: Mapping[str, str]) -> dict[str, Any]:
        """A page of the list, as OpenAI's clients ask for it: `limit`, `order`, and `after` an id.

        Raises HttpError, also for an id that is not there: a client that reads on would begin anew for ever.
        """
        found = self.all()
        if (order := query.get("order", "desc")) not in ("asc", "desc"):
            raise HttpError(400, "invalid", "order is 'asc' or 'desc'", param="order")
        if order == "asc":
            found.reverse()
        if purpose := query.get("purpose"):
            found = [one for one in found if one.get("purpose") == purpose]
        ids = [one["id"] for one in found]
        if (after := query.get("after")) and after not in ids:
            raise HttpError(400, "invalid", f"the list has no '{after[:100]}' to go on after", param="after")
        start = ids.index(after) + 1 if after else 0
        most = _limit(query.get("limit", "20"))
        page = found[start : start + most]
        ends = {"first_id": page[0]["id"] if page else None, "last_id": page[-1]["id"] if page else None}
        return {"object": "list", "data": page, **ends, "has_more": start + most < len(found)}

    def sweep(self, seconds: float, in_use: Collection[str]) -> None:
        """Remove what is older than so many seconds, and not in use."""
        for record in self.all():
            if record["created_at"] < time() - seconds and record["id"] not in in_use:
                self.delete(record["id"])

    def _missing(self, id_: str) -> HttpError:
        what = "file" if self._kind == "file-" else "batch"
        return HttpError(404, "not_found", f"there is no {what} '{id_}' here", param="id")


def _limit(text: str) -> int:
    if re.fullmatch("[0-9]{1,6}", text) is None or not int(text):
        raise HttpError(400, "invalid", f"limit is a number from 1 to {_MOST_LISTED}", param="limit")
    return min(int(text), _MOST_LISTED)


def add_file(files: Records, path: Path, name: str, purpose: str, id_: str | None = None) -> dict[str, Any]:
    """Keep a file, which is moved from `path`; returns its record."""
    id_ = id_ or files.new_id()
    record = {
        "id": id_,
        "object": "file",
        "bytes": path.stat().st_size,
        "created_at": int(time()),
        "filename": name,
        "purpose": purpose,
        "status": "processed",
    }
    os.replace(path, files.path(id_, ".jsonl"))
    files.put(record)
    return record
