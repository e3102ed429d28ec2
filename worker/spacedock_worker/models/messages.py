"""What a model is told: the prompt and the job's files as chat messages."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

from spacedock.files import FileRef, Payload
from spacedock_worker.models.endpoint import ModelEndpoint

Chat = list[dict[str, Any]]
"""Messages as OpenAI's protocol has them."""

MAX_TEXT_BYTES = 32_768
_TEXT_TYPES = frozenset({"application/json", "application/csv", "application/x-ndjson", "application/yaml"})


def refusal(endpoint: ModelEndpoint, files: Iterable[FileRef]) -> str | None:
    """Why the endpoint cannot take these files, for people; None where it can take all of them."""
    for ref in files:
        if is_text(ref):
            if ref.size > MAX_TEXT_BYTES:
                return f"{ref.name} is {ref.size} bytes; a model takes text files of up to {MAX_TEXT_BYTES}"
        elif not ref.media_type.startswith("image/"):
            return f"{endpoint.name} cannot take {ref.media_type} ({ref.name})"
        elif "image" not in endpoint.accepts:
            return f"{endpoint.name} is a text model and cannot take an image ({ref.name})"
    return None


def is_text(ref: FileRef) -> bool:
    """Whether a model can read the file as words."""
    return ref.media_type.startswith("text/") or ref.media_type in _TEXT_TYPES


def messages(prompt: str, files: Iterable[Payload], instruction: str | None) -> Chat:
    """The chat: the instruction as the system's words; text files inside the prompt, images as data URLs."""
    chat: Chat = []
    if instruction:
        chat.append({"role": "system", "content": instruction})
    files = tuple(files)
    words = "\n\n".join([prompt, *(_quoted(file) for file in files if is_text(file.ref))]).strip()
    # A request that no client of ours wrote may hold half of a surrogate pair, which is no UTF-8.
    words = words.encode(errors="replace").decode()
    pictures = [_picture(file) for file in files if not is_text(file.ref)]
    if pictures:
        chat.append({"role": "user", "content": [{"type": "text", "text": words}, *pictures]})
    else:
        chat.append({"role": "user", "content": words})
    return chat


def _quoted(file: Payload) -> str:
    return f"File {file.ref.name}:\n```\n{file.data.decode(errors='replace')}\n```"


def _picture(file: Payload) -> dict[str, Any]:
    data = base64.b64encode(file.data).decode()
    return {"type": "image_url", "image_url": {"url": f"data:{file.ref.media_type};base64,{data}"}}
