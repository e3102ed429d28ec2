"""One call of gradio_client as a job, and what becomes of the job as Gradio's messages (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from spacedock.events import Event, grown
from spacedock.files import FileRef, media_type_of, travelling_name
from spacedock.request import Fallback, JobRequest, Tier
from spacedock.result import JobResult, Stage
from spacedock_worker.adapters.binding import kinds
from spacedockd.http.errors import HttpError
from spacedockd.http.gradio.description import PREFIX, AppEndpoint

OPTIONS = ("fallback", "priority", "timeout")
"""Fields of a job that a header may give, such as `x-spacedock-fallback: spaces`."""

_PLACE = re.compile(r"([0-9a-f]{64})-([0-9]{1,12})/([^/]{1,255})")
_MOST = 1000


def path_of(ref: FileRef) -> str:
    """How a stored file is called in Gradio's messages: no path of this host."""
    return f"{ref.sha256}-{ref.size}/{ref.name}"


def ref_of(path: str) -> FileRef:
    """The stored file of that name. Raises HttpError."""
    if (found := _PLACE.fullmatch(path)) is None:
        raise HttpError(404, "file_not_found", "there is no such file; upload it first, or call again")
    name = travelling_name(found[3])
    return FileRef(name=name, sha256=found[1], size=int(found[2]), media_type=media_type_of(name))


def request_of(
    space: str, endpoint: AppEndpoint, data: Sequence[Any], options: Mapping[str, str]
) -> JobRequest:
    """The job for `data`, which has the endpoint's inputs in their order. Raises HttpError, ValidationError.

    Only the Space itself answers, unless the options say how far to fall back.
    """
    if len(data) > len(endpoint.inputs):
        takes = f"{endpoint.endpoint} takes {len(endpoint.inputs)} inputs, and {len(data)} are given"
        raise HttpError(400, "bad_request", takes)
    files = _Files()
    inputs = {
        endpoint.key(one): files.named(value, plain=one["file"] and one["component"] != kinds.MULTIMODAL)
        for one, value in zip(endpoint.inputs, data, strict=False)
        if value is not None or one["required"] or not one["file"]
    }
    return JobRequest.model_validate(
        {"tier": Tier.HEAVY, "fallback": Fallback.NONE}
        | dict(options)
        | {"space": space, "endpoint": endpoint.endpoint, "inputs": inputs, "files": tuple(files.refs)}
    )


class _Files:
    """The files of one call, each under a name of its own."""

    def __init__(self) -> None:
        self.refs: list[FileRef] = []

    def named(self, value: Any, *, plain: bool = False) -> Any:
        """`value` with `{"file": name}` in the place of each file; if `plain`, a single one is its name."""
        if isinstance(value, list):
            return [self.named(item) for item in value]
        if not isinstance(value, dict):
            return value
        if not isinstance(path := value.get("path"), str) or "meta" not in value:
            return {key: self.named(item) for key, item in value.items()}
        if path.startswith(("http://", "https://")):
            # The app fetches it itself, from behind its own walls.
            return value
        name = self._add(ref_of(path))
        return name if plain else {"file": name}

    def _add(self, ref: FileRef) -> str:
        taken = {one.name for one in self.refs if one.sha256 != ref.sha256}
        name = next(n for i in range(_MOST) if (n := f"{i or ''}{ref.name}"[-255:]) not in taken)
        named = ref.model_copy(update={"name": name})
        if named not in self.refs:
            self.refs.append(named)
        return name


def outputs_of(result: JobResult, base: str) -> list[Any]:
    """What the endpoint gave, by position, with Gradio's file data in the place of each file."""
    if not isinstance(result.output.data, list):
        # A language model, where a fallback to one was asked for.
        return [result.output.text]
    return [_with_files(value, result.output.files, base) for value in result.output.data]


def _with_files(value: Any, files: Sequence[FileRef], base: str) -> Any:
    match value:
        case {"file": str(), "index": int(index)} if 0 <= index < len(files):
            return _file_data(files[index], base)
        case dict():
            return {key: _with_files(item, files, base) for key, item in value.items()}
        case list():
            return [_with_files(item, files, base) for item in value]
    return value


def _file_data(ref: FileRef, base: str) -> dict[str, Any]:
    return {
        "path": path_of(ref),
        "url": f"{base}/{PREFIX}/file={quote(path_of(ref))}",
        "orig_name": ref.name,
        "size": ref.size,
        "mime_type": ref.media_type,
        "is_stream": False,
        "meta": {"_type": "gradio.FileData"},
    }


class Progress:
    """What a job's events are in Gradio's messages, in their order."""

    def __init__(self, job_id: str, endpoint: AppEndpoint, base: str) -> None:
        self._job_id, self._base = job_id, base
        self._streams = len(endpoint.outputs) == 1 and endpoint.outputs[0] in kinds.TEXT
        self._started = False
        self._text = ""
        self._shown: Any = None

    def joined(self) -> dict[str, Any]:
        """The first message: the call waits."""
        return self._message("estimation", rank=0, queue_size=1, rank_eta=None)

    def heard(self, event: Event) -> list[dict[str, Any]]:
        """The messages of one event: where the job stands, or the answer as far as it is there."""
        found = []
        if event.stage is Stage.CALL and not self._started:
            self._started = True
            found.append(self._message("process_starts", eta=None))
        if event.partial is not None and self._streams:
            whole = grown(self._text, event.partial)
            self._text = self._text + event.partial if whole is None else whole
            found.append(self._generating([self._text]))
        elif event.message and event.state is None:
            unit = {"index": None, "length": None, "unit": None, "progress": None, "desc": event.message}
            found.append(self._message("progress", progress_data=[unit]))
        return found

    def ended(self, result: JobResult) -> list[dict[str, Any]]:
        """The last messages: the whole answer, or why there is none."""
        found = []
        if result.degraded and result.answered_by:
            told = f"{result.answered_by.name} answered in place of the Space"
            found.append(self._message("log", log=told, level="warning"))
        if not result.succeeded:
            output: dict[str, Any] = {"error": result.failure}
        else:
            output = {"data": outputs_of(result, self._base), "is_generating": False}
            if self._shown is not None and self._shown != output["data"]:
                found.append(self._generating(output["data"]))
        return [*found, self._message("process_completed", output=output, success=result.succeeded)]

    def _generating(self, data: list[Any]) -> dict[str, Any]:
        """The answer so far: whole at first, then as what has become of it."""
        told = data if self._shown is None else [[["replace", [], value]] for value in data]
        self._shown = data
        output = {"data": told, "is_generating": True}
        return self._message("process_generating", output=output, success=True)

    def _message(self, kind: str, **fields: Any) -> dict[str, Any]:
        return {"msg": kind, "event_id": self._job_id, **fields}
