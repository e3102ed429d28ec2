"""How the system default's model server stands, told to whoever asks without starting it."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from asyncio import StreamReader, StreamWriter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spacedockd.model.gguf import GgufError, fetched, model_of
from spacedockd.model.job import NOT_INSTALLED, SmolLMSettings
from spacedockd.model.keeper import ModelKeeper
from spacedockd.model.relay import closed


class StateSocket:
    """Answers every connection to a unix socket with one line of JSON: `state`, `model` and `why`.

    The states are "ready", "loading", "resting" (it is loaded at its first use) and "absent".
    """

    def __init__(self, keeper: ModelKeeper, smollm: SmolLMSettings, folders: Sequence[Path]) -> None:
        self._keeper, self._smollm, self._folders = keeper, smollm, tuple(folders)
        self._server: asyncio.Server | None = None

    async def start(self, bound: Any) -> None:
        """Listen on the bound socket."""
        self._server = await asyncio.start_unix_server(self._answer, sock=bound)

    def stop(self) -> None:
        """Take no more connections; twice is safe."""
        server, self._server = self._server, None
        if server is not None:
            server.close()

    async def _answer(self, reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(json.dumps(await self._state()).encode() + b"\n")
        await closed(writer)

    async def _state(self) -> dict[str, Any]:
        keeper = self._keeper
        if keeper.child is not None:
            return {"state": "ready", "model": keeper.child.model}
        if keeper.starting:
            return {"state": "loading"}
        if keeper.failure is not None:
            return {"state": "absent", "why": str(keeper.failure)}
        return await asyncio.to_thread(self._resting)

    def _resting(self) -> dict[str, Any]:
        if importlib.util.find_spec("xllamacpp") is None:
            return {"state": "absent", "why": NOT_INSTALLED}
        try:
            model = model_of(self._smollm.path) if self._smollm.path else fetched(self._folders)
        except GgufError as error:
            return {"state": "absent", "why": str(error)}
        if model is None:
            return {"state": "resting", "why": "no model is here yet: it is fetched at its first use"}
        return {"state": "resting", "model": model.label}
