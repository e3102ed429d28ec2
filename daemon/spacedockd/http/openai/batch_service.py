"""The batches of OpenAI's API that this daemon has: made, taken up again after a restart, cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from time import time
from types import TracebackType
from typing import Any, Self

import structlog

from spacedock._wire.view.webhooks import checked_url
from spacedock.client import Client
from spacedock.openai.translation import BATCH_ROUTES
from spacedock_worker.background import cancel_all
from spacedockd.http.errors import HttpError
from spacedockd.http.openai.batch_work import UNFINISHED, BatchWork
from spacedockd.http.openai.records import Records

_KEPT_SECONDS = 30 * 86_400
_WINDOW_SECONDS = 86_400
_MOST_UNFINISHED = 100
_MOST_METADATA, _LONGEST_METADATA = 16, 512
_FIELDS = frozenset({"input_file_id", "endpoint", "completion_window", "metadata", "callback"})
_AGAIN_SECONDS = 5.0

log = structlog.get_logger()


class BatchService:
    """Carries batches out, those of before a restart too; used within `async with`.

    `folder` keeps files and batches for 30 days; `models_as` is the configuration's.
    """

    def __init__(self, client: Client, folder: Path, models_as: Mapping[str, str]) -> None:
        self.files = Records(folder / "files", "file-")
        self.records = Records(folder / "batches", "batch_")
        self._client, self._models_as = client, models_as
        self._works: dict[str, asyncio.Task[None]] = {}
        self._closing = False

    async def __aenter__(self) -> Self:
        for record in self.records.all():
            if record["status"] in UNFINISHED or "callback" in record:
                self._start(record["id"])
        for records in (self.files, self.records):
            await asyncio.to_thread(records.sweep, _KEPT_SECONDS, self.in_use())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        await cancel_all(*self._works.values())

    def in_use(self) -> set[str]:
        """The ids of batches that are unfinished, and of their input files."""
        return {*self._works, *(self.records.get(id_)["input_file_id"] for id_ in self._works)}

    async def create(self, body: Any) -> dict[str, Any]:
        """Make a batch and begin it; returns its record. Raises HttpError."""
        record = self._record(body)
        self.files.get(record["input_file_id"])
        if len(self._works) >= _MOST_UNFINISHED:
            message = f"{_MOST_UNFINISHED} batches are unfinished: wait for one to end"
            raise HttpError(429, "too_many_batches", message, headers={"Retry-After": "60"})
        self.records.put(record)
        self._start(record["id"])
        return record

    def cancel(self, id_: str) -> dict[str, Any]:
        """Have a batch end: what was answered is kept. Raises HttpError."""
        record = self.records.get(id_)
        if record["status"] not in UNFINISHED:
            raise HttpError(409, "batch_ended", f"batch {id_} is {record['status']} already")
        if record["status"] != "cancelling":
            record |= {"status": "cancelling", "cancelling_at": int(time())}
            self.records.put(record)
            self._works[id_].cancel()
        return record

    def _start(self, id_: str) -> None:
        self._works[id_] = task = asyncio.create_task(self._work(id_))
        task.add_done_callback(lambda _: self._works.pop(id_, None))

    async def _work(self, id_: str) -> None:
        """Carry a batch out; trouble of ours only delays it."""
        work = BatchWork(self._client, self.files, self.records, id_, self._models_as)
        while True:
            try:
                if self.records.get(id_)["status"] in UNFINISHED:
                    await work.run()
                return await self._tell(id_)
            except asyncio.CancelledError:
                if self._closing or self.records.get(id_)["status"] != "cancelling":
                    raise
            except Exception:
                # The batch's boundary: it is not failed for a fault that may pass.
                log.exception("batch.fault", batch=id_)
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _tell(self, id_: str) -> None:
        """Send the webhook that the batch's end owes; its record says so until then."""
        record = self.records.get(id_)
        if (url := record.pop("callback", None)) is not None:
            await self._client.webhooks.tell(url, f"batch.{record['status']}", {"id": id_})
            self.records.put(record)

    def _record(self, body: Any) -> dict[str, Any]:
        given: Mapping[str, Any] = body if isinstance(body, dict) else {}
        endpoint, window = given.get("endpoint"), given.get("completion_window", "24h")
        routes = [route.value for route in BATCH_ROUTES]
        if endpoint not in routes:
            what = f"endpoint {endpoint!r} cannot be in a batch. Known: {', '.join(routes)}"
            raise HttpError(400, "unsupported", what, param="endpoint")
        if window != "24h":
            raise HttpError(400, "unsupported", "completion_window is '24h'", param="completion_window")
        if unknown := given.keys() - _FIELDS:
            what = f"'{min(unknown)[:100]}' is not for a batch here. Known: {', '.join(sorted(_FIELDS))}"
            raise HttpError(400, "unsupported", what, param=min(unknown)[:100])
        metadata = given.get("metadata")
        if metadata is not None and not _is_metadata(metadata):
            what = f"metadata is up to {_MOST_METADATA} texts of {_LONGEST_METADATA} characters at most"
            raise HttpError(400, "invalid", what, param="metadata")
        now = int(time())
        return {
            "id": self.records.new_id(),
            "object": "batch",
            "endpoint": endpoint,
            "input_file_id": str(given.get("input_file_id")),
            "completion_window": window,
            "status": "validating",
            "created_at": now,
            "expires_at": now + _WINDOW_SECONDS,
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
            "metadata": metadata,
            **_callback(given.get("callback")),
        }


def _is_metadata(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and len(value) <= _MOST_METADATA
        and all(isinstance(text, str) and len(text) <= _LONGEST_METADATA for text in value.values())
    )


def _callback(url: Any) -> dict[str, str]:
    """Who hears of the end, as the record has it; OpenAI's API has one address for all of a project."""
    try:
        return {} if url is None else {"callback": checked_url(str(url))}
    except ValueError as error:
        raise HttpError(400, "invalid", str(error), param="callback") from None
