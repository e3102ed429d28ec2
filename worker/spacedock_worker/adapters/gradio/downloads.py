"""Fetching the files of an answer, by the app's own download route."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from spacedock.files import Payload, media_type_of, payload_of
from spacedock_worker.adapters.faults import bad_output
from spacedock_worker.adapters.gradio.output import MEDIA_TYPE, OutputFile
from spacedock_worker.adapters.http import AppHttp, RefusedError
from spacedock_worker.adapters.kinds import UNKNOWN_MEDIA
from spacedock_worker.adapters.limits import Limits


async def downloaded(
    http: AppHttp, prefix: str, files: Sequence[OutputFile], limits: Limits
) -> tuple[Payload, ...]:
    """The bytes of the files, in order. Raises StepError of kind `bad_output` over the limits."""
    payloads: list[Payload] = []
    left = limits.files
    for file in files:
        data, told = await _fetched(http, prefix, file, min(limits.file, left))
        left -= len(data)
        # A large file takes long to hash.
        payloads.append(await asyncio.to_thread(payload_of, file.name, data, _media_type(file, told)))
    return tuple(payloads)


async def _fetched(http: AppHttp, prefix: str, file: OutputFile, max_bytes: int) -> tuple[bytes, str]:
    if file.data is not None:
        if len(file.data) > max_bytes:
            raise bad_output(f"the file {file.name} is over the limit of {max_bytes / 2**20:.0f} MB")
        return file.data, file.media_type or UNKNOWN_MEDIA
    try:
        return await http.download(f"{prefix}/file=", file.path, max_bytes)
    except RefusedError as error:
        raise bad_output(f"the app does not hand out its file {file.name} ({error})") from error


def _media_type(file: OutputFile, told: str) -> str:
    guesses = (media_type_of(file.name), file.media_type, told)
    return next((m for m in guesses if m and m != UNKNOWN_MEDIA and MEDIA_TYPE.fullmatch(m)), UNKNOWN_MEDIA)
