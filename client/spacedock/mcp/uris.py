"""Files that a tool is given: of the queue, in the call itself, or of this machine where that is allowed."""

from __future__ import annotations

import asyncio
import mimetypes
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from spacedock.client import Client
from spacedock.errors import BadRequestError, FileUnreadableError
from spacedock.files import Payload, of_data_url, payload_of, read_payload
from spacedock.mcp.content import FILES, kind_of

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SHOWN = 80


def digest_of(uri: str) -> str:
    """The digest in a resource's URI. Raises BadRequestError."""
    digest = uri.removeprefix(FILES)
    if digest == uri or not _DIGEST.fullmatch(digest):
        raise BadRequestError(f"'{uri[:_SHOWN]}' is no file of an answer: those are {FILES}SHA256")
    return digest


async def payload_at(uri: str, client: Client, allowed: Sequence[Path]) -> Payload:
    """The file of that URI; paths only below the folders `allowed`. Raises BadRequestError, WireError."""
    if uri.startswith(FILES):
        data = await client.fetch(digest_of(uri))
        return _named(data, kind_of(data))
    if uri[:5].lower() == "data:":
        return _named(*of_data_url(uri))
    if uri.startswith(("/", "file://")):
        return await asyncio.to_thread(_of_this_machine, uri, allowed)
    raise BadRequestError(
        f"'{uri[:_SHOWN]}' is no file: give {FILES}SHA256 of an answer, or data:image/png;base64,…"
    )


def _named(data: bytes, kind: str) -> Payload:
    return payload_of(f"file{mimetypes.guess_extension(kind) or ''}", data, kind)


def _of_this_machine(uri: str, allowed: Sequence[Path]) -> Payload:
    path = Path(unquote(urlsplit(uri).path) if uri.startswith("file://") else uri)
    try:
        # Where links and .. lead is what counts; what is elsewhere is not told, not even whether it is there.
        path = path.resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise FileUnreadableError(repr(str(path)[:_SHOWN]), "is no path") from error
    if not any(path.is_relative_to(folder.resolve()) for folder in allowed):
        raise BadRequestError(
            f"{path}: files are not read from there. Start `spacedock mcp --allow-dir DIR` with its "
            "folder, or give the file as a data: URI"
        )
    return read_payload(path)
