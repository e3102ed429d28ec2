"""A conversation as one prompt and its files: messages and their parts, in OpenAI's and Anthropic's form."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from spacedock.errors import BadRequestError
from spacedock.files import MAX_FILE_BYTES, Payload, of_base64, of_data_url, payload_of, travelling_name

_INSTRUCTING = frozenset({"system", "developer"})
_SPEAKERS = {"user": "User", "assistant": "Assistant", "tool": "Tool", "function": "Tool"}
_TEXTS = ("text", "input_text", "output_text", "refusal")


@dataclass(slots=True)
class Attachments:
    """What a request sends along: files with their bytes, and paths below `directory` (None: none may be)."""

    directory: Path | None = None
    payloads: list[Payload] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def add(self, url: Any, what: str) -> None:
        """Take a `data:` URL or a `file://` path. Raises BadRequestError, also for any other address."""
        if not isinstance(url, str) or not url:
            raise BadRequestError(f"the {what} has no URL: give a data URL or file://PATH")
        if url.startswith("data:"):
            self.add_bytes(*of_data_url(url, what), what)
        elif url.startswith("file:"):
            parts = urlsplit(url)
            # In file://a.png, which means a path, the name stands where a host would.
            path = parts.path if parts.netloc in {"", "localhost"} else parts.netloc + parts.path
            self.paths.append(str(below(self.directory, unquote(path), url)))
        else:
            shown = url if len(url) <= 80 else f"{url[:80]}…"
            raise BadRequestError(
                f"the {what} at {shown} is not fetched: send it as a data URL or file://PATH"
            )

    def add_path(self, path: str) -> None:
        """Take a path, relative to the directory. Raises BadRequestError where it leads out of that."""
        self.paths.append(str(below(self.directory, path, path)))

    def add_bytes(self, data: bytes, media_type: str, what: str, name: str | None = None) -> None:
        """Take a file's bytes. Raises BadRequestError over the limit for one file."""
        if len(data) > MAX_FILE_BYTES:
            raise BadRequestError(f"the {what} has over {MAX_FILE_BYTES // 2**20} MB")
        suffix = mimetypes.guess_extension(media_type) or ""
        named = travelling_name(Path(name or "").name) or f"{what}-{len(self.payloads) + 1}{suffix}"
        self.payloads.append(payload_of(named, data, media_type))

    def add_base64(self, text: Any, media_type: str, what: str, name: str | None = None) -> None:
        """Take a file in base64, also as a data URL. Raises BadRequestError."""
        if not isinstance(text, str):
            raise BadRequestError(f"the {what} has no data: give it in base64")
        if text.startswith("data:"):
            self.add_bytes(*of_data_url(text, what), what, name)
        else:
            self.add_bytes(of_base64(text, what), media_type, what, name)


def below(directory: Path | None, path: str, shown: str) -> Path:
    """The file at a path, which may be relative. Raises BadRequestError where it is not in the directory."""
    if directory is None:
        raise BadRequestError(f"{shown}: files of this machine are not read here. Send a data URL instead.")
    try:
        root = directory.resolve()
        found = (root / path).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise BadRequestError(f"{shown!a} is no path of a file: {error}") from error
    if not found.is_relative_to(root):
        raise BadRequestError(f"{shown} is not below {root}, the batch file's directory: put the file there")
    return found


def prompt_of(messages: Any, system: Any, files: Attachments) -> str:
    """A conversation as one prompt; what it shows and plays goes to `files`.

    One message is its text alone. Instructions come first, then the turns, each after its speaker's name
    where there are several. Raises BadRequestError.
    """
    if not isinstance(messages, list) or not messages:
        raise BadRequestError("'messages' is not a list of messages: give at least one with role and content")
    told, turns = [text] if (text := _text(system, files, "system")) else [], []
    for number, message in enumerate(messages, 1):
        role, text = _said(message, number, files)
        if role in _INSTRUCTING:
            told.append(text)
        elif text:
            turns.append((role, text))
    if len(turns) == 1 and turns[0][0] == "user":
        return "\n\n".join([*told, turns[0][1]])
    lines = [f"{_SPEAKERS[role]}: {text}" for role, text in turns]
    if turns and turns[-1][0] != "assistant":
        lines.append("Assistant:")
    return "\n\n".join([*told, *lines])


def _said(message: Any, number: int, files: Attachments) -> tuple[str, str]:
    role = message.get("role") if isinstance(message, dict) else None
    if not isinstance(role, str) or (role not in _INSTRUCTING and role not in _SPEAKERS):
        known = ", ".join(sorted({*_INSTRUCTING, *_SPEAKERS}))
        raise BadRequestError(f"messages[{number - 1}] has no role that is known: give one of {known}")
    text = _text(message.get("content"), files, f"messages[{number - 1}]")
    calls = message.get("tool_calls")
    called = [f"[calls {_name_of(call)}]" for call in calls] if isinstance(calls, list) else []
    return role, "\n".join(filter(None, [text, *called]))


def _name_of(call: Any) -> str:
    function = call.get("function") if isinstance(call, dict) else None
    named: Mapping[str, Any] = function if isinstance(function, dict) else {}
    return f"{named.get('name', 'a tool')}({named.get('arguments', '')})"


def _text(content: Any, files: Attachments, where: str) -> str:
    """The words of a message's content, a text or a list of parts."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise BadRequestError(f"{where}: its content is neither a text nor a list of parts")
    return "\n".join(filter(None, _words(content, files, where)))


def _words(parts: Sequence[Any], files: Attachments, where: str) -> Iterator[str]:
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in _TEXTS:
            yield str(part.get("refusal" if kind == "refusal" else "text") or "")
        elif kind == "tool_use":
            yield f"[calls {part.get('name')}({part.get('input')})]"
        elif kind == "tool_result":
            yield _text(part.get("content"), files, where)
        elif kind not in _FILES:
            raise BadRequestError(
                f"{where}: a part of type '{kind}' cannot be sent to a Space. Known: {', '.join(_KNOWN)}"
            )
        else:
            _FILES[kind](part, files)


def _image_url(part: Mapping[str, Any], files: Attachments) -> None:
    image = part.get("image_url")
    files.add(image.get("url") if isinstance(image, dict) else image, "image")


def _input_audio(part: Mapping[str, Any], files: Attachments) -> None:
    audio = part.get("input_audio")
    given: Mapping[str, Any] = audio if isinstance(audio, dict) else {}
    form = str(given.get("format") or "wav")
    media_type = {"mp3": "audio/mpeg", "wav": "audio/wav"}.get(form, f"audio/{form}")
    files.add_base64(given.get("data"), media_type, "audio", f"audio-{len(files.payloads) + 1}.{form}")


def _file(part: Mapping[str, Any], files: Attachments) -> None:
    file = part.get("file")
    given: Mapping[str, Any] = file if isinstance(file, dict) else {}
    if not given.get("file_data"):
        raise BadRequestError("a file part has no 'file_data': send the file in base64, not by its id")
    name = str(given.get("filename") or "") or None
    files.add_base64(given["file_data"], mimetypes.guess_type(name or "")[0] or "", "file", name)


def _source(part: Mapping[str, Any], files: Attachments) -> None:
    """Anthropic's pictures and documents."""
    what, source = str(part["type"]), part.get("source")
    given: Mapping[str, Any] = source if isinstance(source, dict) else {}
    if given.get("type") == "url":
        files.add(given.get("url"), what)
    elif given.get("type") == "text":
        files.add_bytes(str(given.get("data")).encode(errors="replace"), "text/plain", what)
    elif given.get("type") == "base64":
        files.add_base64(given.get("data"), str(given.get("media_type") or ""), what)
    else:
        raise BadRequestError(f"the {what} has no source that can be sent: give type base64, text or url")


_FILES = {
    "image_url": _image_url,
    "input_audio": _input_audio,
    "file": _file,
    "image": _source,
    "document": _source,
}
_KNOWN = ("text", *_FILES)
