"""Sending a call's files to the app, which answers with where it put them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spacedock.files import Payload
from spacedock_worker.adapters.gradio.faults import app_error, bad_output
from spacedock_worker.adapters.gradio.http import AppHttp, RefusedError

ANSWER_BYTES = 2**16


async def upload_all(http: AppHttp, prefix: str, files: Sequence[Payload]) -> list[Mapping[str, Any]]:
    """Upload the files one after another; each becomes the description that Gradio takes as an input.

    Raises StepError: `app_error` where the app takes none (over its own limit), `bad_output`, `crashed`.
    """
    return [await _upload(http, prefix, file) for file in files]


async def _upload(http: AppHttp, prefix: str, file: Payload) -> Mapping[str, Any]:
    try:
        paths = await http.upload(f"{prefix}/upload", file, ANSWER_BYTES)
    except RefusedError as error:
        raise app_error(f"the app does not take the file {file.ref.name} ({error})") from error
    match paths:
        case [str(path)]:
            return {
                "path": path,
                "orig_name": file.ref.name,
                "size": file.ref.size,
                "mime_type": file.ref.media_type,
                "meta": {"_type": "gradio.FileData"},
            }
    raise bad_output(f"the app took the file {file.ref.name} without saying where it is")
