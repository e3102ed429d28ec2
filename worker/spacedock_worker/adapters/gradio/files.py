"""Sending a call's files to the app, and writing them into its data as its version wants them."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping, Sequence
from typing import Any

from spacedock.files import Payload, media_type_of, payload_of
from spacedock_worker.adapters.base import AnswerLimits
from spacedock_worker.adapters.binding import kinds
from spacedock_worker.adapters.binding.files import Upload
from spacedock_worker.adapters.binding.kinds import UNKNOWN_MEDIA
from spacedock_worker.adapters.endpoint import Endpoint
from spacedock_worker.adapters.faults import OF_THE_FILE, app_error, bad_input, bad_output
from spacedock_worker.adapters.gradio.description import App
from spacedock_worker.adapters.gradio.output import OutputFile
from spacedock_worker.adapters.http import AppHttp, AppRefusedError
from spacedock_worker.adapters.names import MEDIA_TYPE

ANSWER_BYTES = 2**16


class Uploads:
    """The files of one call, each uploaded once, when the first input needs it."""

    def __init__(self, http: AppHttp, app: App, files: Sequence[Payload]) -> None:
        self._http, self._app, self._files = http, app, files
        self._sent: dict[int, Mapping[str, Any]] = {}

    async def written(self, endpoint: Endpoint, data: Sequence[Any]) -> list[Any]:
        """`data` with every Upload in it replaced by the file as the app takes it.

        Raises StepError: `bad_input` where the app does not take one (over its limit), `app_error` where it
        takes none, `bad_output`, `crashed`.
        """
        values = list(data)
        for slot in endpoint.slots:
            # Gradio 3 takes a picture as a data URL only.
            inline = self._app.old_files and slot.component in ("image", kinds.MASKED)
            value = await self._replaced(values[slot.position], inline)
            made_of_parts = slot.component == "chatbot" and self._app.version.startswith("6.")
            values[slot.position] = in_parts(value) if made_of_parts else value
        return values

    async def _replaced(self, value: Any, inline: bool) -> Any:
        if isinstance(value, Upload):
            return data_url(self._files[value.index]) if inline else dict(await self._file(value.index))
        if isinstance(value, dict):
            return {key: await self._replaced(item, inline) for key, item in value.items()}
        if isinstance(value, list):
            return [await self._replaced(item, inline) for item in value]
        return value

    async def _file(self, index: int) -> Mapping[str, Any]:
        if index not in self._sent:
            file = self._files[index]
            path = await self._upload(file)
            self._sent[index] = old_file(path, file) if self._app.old_files else file_data(path, file)
        return self._sent[index]

    async def _upload(self, file: Payload) -> str:
        try:
            paths = await self._http.upload(f"{self._app.prefix}/upload", file, ANSWER_BYTES)
        except AppRefusedError as error:
            refused = bad_input if error.status in OF_THE_FILE else app_error
            raise refused(f"the app does not take the file {file.ref.name} ({error})") from error
        match paths:
            case [str(path)]:
                return path
        raise bad_output(f"the app took the file {file.ref.name} without saying where it is")


def in_parts(messages: Any) -> Any:
    """A conversation as Gradio 6 takes it: the content of each message as a list."""
    if not isinstance(messages, list):
        return messages
    return [
        {**message, "content": [{"type": "text", "text": message["content"]}]}
        if isinstance(message, dict) and isinstance(message.get("content"), str)
        else message
        for message in messages
    ]


def file_data(path: str, file: Payload) -> dict[str, Any]:
    """A file as Gradio 4 and later take it."""
    return {
        "path": path,
        "orig_name": file.ref.name,
        "size": file.ref.size,
        "mime_type": file.ref.media_type,
        "meta": {"_type": "gradio.FileData"},
    }


def old_file(path: str, file: Payload) -> dict[str, Any]:
    """A file as Gradio 3 takes it."""
    return {
        "name": path,
        "orig_name": file.ref.name,
        "size": file.ref.size,
        "data": None,
        "is_file": True,
    }


def data_url(file: Payload) -> str:
    """A file within the data itself."""
    return f"data:{file.ref.media_type};base64,{base64.b64encode(file.data).decode()}"


async def downloaded(
    http: AppHttp, prefix: str, files: Sequence[OutputFile], limits: AnswerLimits
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
        route = f"{prefix}/stream/" if file.streamed else f"{prefix}/file="
        return await http.download(route, file.path, max_bytes)
    except AppRefusedError as error:
        raise bad_output(f"the app does not hand out its file {file.name} ({error})") from error


def _media_type(file: OutputFile, told: str) -> str:
    guesses = (media_type_of(file.name), file.media_type, told)
    return next((m for m in guesses if m and m != UNKNOWN_MEDIA and MEDIA_TYPE.fullmatch(m)), UNKNOWN_MEDIA)
