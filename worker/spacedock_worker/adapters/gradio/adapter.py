"""The adapter for Gradio apps: describe, choose, upload, call by the queue, read, download."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import structlog

from spacedock.files import MAX_FILE_BYTES, MAX_JOB_BYTES, Payload, media_type_of, payload_of
from spacedock_worker.adapters.base import AppAnswer, AppCall, OnProgress
from spacedock_worker.adapters.gradio.choice import choose
from spacedock_worker.adapters.gradio.description import App, describe
from spacedock_worker.adapters.gradio.faults import bad_output, crashed
from spacedock_worker.adapters.gradio.http import AppHttp, RefusedError
from spacedock_worker.adapters.gradio.kinds import UNKNOWN_MEDIA
from spacedock_worker.adapters.gradio.output import MEDIA_TYPE, OutputFile, read_outputs
from spacedock_worker.adapters.gradio.placing import with_uploaded
from spacedock_worker.adapters.gradio.queue import transport_for
from spacedock_worker.adapters.gradio.uploads import upload_all
from spacedock_worker.errors import StepError

MAX_ANSWER_BYTES = 16 * 2**20
READY_SECONDS = 2.0
DESCRIBE_SECONDS = 30.0

log = structlog.get_logger()


class GradioAdapter:
    """Calls one running Gradio app (5 or 6); use within `async with`.

    Limits in bytes: `max_answer_bytes` for the JSON of one answer, `max_file_bytes` for one file of it,
    `max_files_bytes` for all of them.
    """

    def __init__(
        self,
        base_url: str,
        *,
        max_file_bytes: int = MAX_FILE_BYTES,
        max_files_bytes: int = MAX_JOB_BYTES,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        self.base_url = base_url
        self._max_file, self._max_files, self._max_answer = max_file_bytes, max_files_bytes, max_answer_bytes
        self._app: App | None = None

    async def __aenter__(self) -> Self:
        self._http = AppHttp(self.base_url)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    async def is_ready(self) -> bool:
        """Whether `/config` describes an app, within 2 s; False where anything else is there."""
        try:
            config = await self._http.get_json("/config", self._max_answer, READY_SECONDS)
        except (StepError, RefusedError, TimeoutError):
            return False
        return isinstance(config, dict) and isinstance(config.get("dependencies"), list)

    async def call(self, call: AppCall, on_progress: OnProgress) -> AppAnswer:
        """Call the endpoint that fits; see `Adapter.call`. The caller bounds the time."""
        app = await self._described()
        transport = transport_for(app, self._http, self._max_answer)
        choice = choose(app, call)
        log.info("gradio.endpoint_chosen", endpoint=choice.endpoint.name, version=app.version)
        uploaded = await upload_all(self._http, app.prefix, call.files)
        data = with_uploaded(choice.filling.data, uploaded)
        outputs = await transport.call(choice.endpoint.fn_index, data, on_progress)
        reading = read_outputs(choice.endpoint.outputs, outputs)
        files = await self._download(app.prefix, reading.files)
        return AppAnswer(choice.endpoint.name, reading.text, reading.data, files)

    async def _described(self) -> App:
        if self._app is None:
            try:
                config = await self._http.get_json("/config", self._max_answer, DESCRIBE_SECONDS)
                prefix = describe(config, None).prefix
                self._app = describe(config, await self._info(prefix))
            except RefusedError as error:
                raise crashed(f"the app does not describe itself ({error}): see its log") from error
            except TimeoutError as error:
                raise crashed("the app took too long to describe itself: see its log") from error
        return self._app

    async def _info(self, prefix: str) -> Any:
        # `/info` fails in apps whose components it cannot describe; `/config` is enough to call them.
        try:
            return await self._http.get_json(f"{prefix}/info", self._max_answer, DESCRIBE_SECONDS)
        except RefusedError as error:
            log.info("gradio.info_refused", status=error.status)
            return None

    async def _download(self, prefix: str, files: Sequence[OutputFile]) -> tuple[Payload, ...]:
        payloads: list[Payload] = []
        left = self._max_files
        for file in files:
            payload = await self._fetch(prefix, file, min(self._max_file, left))
            left -= payload.ref.size
            payloads.append(payload)
        return tuple(payloads)

    async def _fetch(self, prefix: str, file: OutputFile, max_bytes: int) -> Payload:
        try:
            data, told = await self._http.download(f"{prefix}/file=", file.path, max_bytes)
        except RefusedError as error:
            raise bad_output(f"the app does not hand out its file {file.name} ({error})") from error
        guesses = (media_type_of(file.name), file.media_type, told)
        media = next((m for m in guesses if m and m != UNKNOWN_MEDIA and MEDIA_TYPE.fullmatch(m)), None)
        return payload_of(file.name, data, media or UNKNOWN_MEDIA)
