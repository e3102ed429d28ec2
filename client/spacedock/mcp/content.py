"""What a tool answers: a job's result as MCP content, bounded, and clean of what is not text (pure)."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from mcp_types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
)

from spacedock.errors import BadRequestError
from spacedock.files import FileRef, sniffed
from spacedock.result import JobResult

FILES = "spacedock://files/"

MAX_TEXT = 100_000
"""Characters of one text."""

MAX_DATA = 2**16
"""Bytes of the JSON that an app returned."""

MAX_SHOWN = 4 * 2**20
"""Bytes of files that stand in an answer itself; others are read as resources."""

_DEEPEST = 16
_BINARY = "application/octet-stream"
_STRANGE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def clean(text: str, most: int = MAX_TEXT) -> str:
    """The text's beginning without control characters: what apps and the Hub say is a stranger's."""
    return _STRANGE.sub("\ufffd", text[:most])


def kind_of(data: bytes) -> str:
    """A file's media type by its first bytes: what is displayed is never chosen by who sent it."""
    return sniffed(data) or _BINARY


def told(data: Any) -> CallToolResult:
    """An answer of ours that is JSON."""
    plain = plain_of(data)
    text = json.dumps(plain, ensure_ascii=False)[:MAX_TEXT]
    return CallToolResult(content=[TextContent(text=text)], structured_content=plain)


def refused(message: str) -> CallToolResult:
    """Why there is no answer, and what to do, so that a model can mend its call."""
    return CallToolResult(content=[TextContent(text=clean(message))], is_error=True)


def going_on(job_id: str, said: str) -> CallToolResult:
    """The answer to a call that takes longer than the caller is let wait: the job's id."""
    text = f"job {job_id} has not ended{f' ({clean(said, 300)})' if said else ''}; it goes on: ask job_status"
    return CallToolResult(
        content=[TextContent(text=text)], structured_content={"id": job_id, "state": "running"}
    )


def answered(result: JobResult, shown: dict[str, bytes]) -> CallToolResult:
    """A job's result: the answer's text, its files, and last who gave it. `shown` are files by digest."""
    output = result.output
    blocks: list[ContentBlock] = [TextContent(text=clean(output.text))] if output.text else []
    for ref in output.files:
        if data := shown.get(ref.sha256):
            blocks.append(block_of(data))
        blocks.append(_link(ref))
    blocks.append(TextContent(text=_verdict(result)))
    return CallToolResult(
        content=blocks, structured_content=_structured(result), is_error=not result.succeeded
    )


def block_of(data: bytes) -> ContentBlock:
    """A file as content: a picture, a sound, or a text. Raises BadRequestError for others."""
    kind = kind_of(data)
    if kind.startswith("image/"):
        return ImageContent(data=base64.b64encode(data).decode(), mime_type=kind)
    if kind.startswith("audio/"):
        return AudioContent(data=base64.b64encode(data).decode(), mime_type=kind)
    try:
        return TextContent(text=clean(data.decode()))
    except UnicodeDecodeError:
        raise BadRequestError(f"this file ({kind}) is no text, picture or sound") from None


def embedded(uri: str, data: bytes) -> EmbeddedResource:
    """A file of any kind as a resource within an answer."""
    blob = base64.b64encode(data).decode()
    return EmbeddedResource(resource=BlobResourceContents(uri=uri, mime_type=kind_of(data), blob=blob))


def plain_of(value: Any, depth: int = 0) -> Any:
    """JSON of strangers without control characters, and without what is nested deeper than people read."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict | list) and depth == _DEEPEST:
        return "…"
    if isinstance(value, dict):
        return {clean(str(key), 300): plain_of(one, depth + 1) for key, one in value.items()}
    return [plain_of(one, depth + 1) for one in value] if isinstance(value, list) else value


def _link(ref: FileRef) -> ResourceLink:
    uri = f"{FILES}{ref.sha256}"
    return ResourceLink(name=clean(ref.name), uri=uri, size=ref.size, mime_type=ref.media_type)


def _verdict(result: JobResult) -> str:
    """Who answered, or why nobody did."""
    by = result.answered_by
    if by is not None:
        worse = "; degraded: a language model's words in place of what was asked for"
        cut = "; the text was cut" if result.output.truncated else ""
        return f"answered by {by.name} (job {result.id}){worse if result.degraded else ''}{cut}"
    steps = [f"{one.name}: {one.error.message}" for one in result.attempts if one.error]
    return clean(f"job {result.id} {result.state.value}. " + "\n".join(steps), 4000)


def _structured(result: JobResult) -> dict[str, Any]:
    """The result as the command's --json has it; what is too long of it is left out."""
    plain: dict[str, Any] = plain_of(result.model_dump(mode="json"))
    data = plain["output"]["data"]
    if len(json.dumps(data)) > MAX_DATA:
        plain["output"] |= {"data": None, "truncated": True}
    return plain
