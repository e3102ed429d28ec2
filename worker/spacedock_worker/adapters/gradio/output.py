"""An endpoint's outputs as an answer: text for people, data without the container's paths, files."""

from __future__ import annotations

import base64
import binascii
import mimetypes
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from spacedock_worker.adapters.faults import bad_output, check_answer
from spacedock_worker.adapters.gradio.rendering import MAX_PAGE, PLOTS, Axes, joined, plot_file, table_text
from spacedock_worker.adapters.names import MEDIA_TYPE, encodable, safe_name, unique_name

DATA_URL = re.compile(r"data:([a-z0-9.+-]{1,64}/[A-Za-z0-9.+-]{1,128});base64,")
STREAMED = re.compile(r"([A-Za-z0-9_-]{1,100}/[A-Za-z0-9_-]{1,40}/[0-9]{1,10})/playlist\.m3u8")
# What these hold are words, even where they look like a file.
WORDS = frozenset({"textbox", "markdown", "html", "code", "json", "label", "highlightedtext", "dataframe"})


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A file that the app gave: its path there, or its bytes where they came along (Gradio 3's pictures);
    a safe and unique name, and a media type if it told one. A `streamed` one has a route of its own."""

    path: str
    name: str
    media_type: str | None
    data: bytes | None = None
    streamed: bool = False


@dataclass(slots=True)
class _Reader:
    """Reads one output after another; `inline` says whether a data URL is a file in the present one."""

    files: list[OutputFile] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    inline: bool = False

    def read(self, value: Any, depth: int = 0) -> Any:
        """`value` with updates unwrapped and each file replaced by {"file": name, "index": n}."""
        check_answer(depth, len(self.files))
        if isinstance(value, str):
            return self._string(value)
        if isinstance(value, list):
            return [self.read(item, depth + 1) for item in value]
        if not isinstance(value, dict):
            return value
        if value.get("__type__") == "update":
            return self.read(value.get("value"), depth + 1)
        if (path := _path(value)) is not None:
            return self._file(path, value)
        return {encodable(key): self.read(item, depth + 1) for key, item in value.items()}

    def output(self, kind: str, value: Any, axes: Axes | None = None) -> Any:
        """The value of one output; a table and a plot's specification become files as well."""
        if kind == "chatbot" and isinstance(messages := _unwrapped(value), list):
            return [self._message(message) for message in messages]
        read = self.read(value)
        if kind in PLOTS and (plot := plot_file(kind, read, axes)) is not None:
            return self._add("", plot[0], "application/json", plot[1])
        if kind == "dataframe" and (table := table_text(read)):
            self._add("", "table.csv", "text/csv", f"{table}\n".encode("utf-8", "replace"))
        return read

    def _message(self, message: Any) -> Any:
        """One message of a chat, or one pair; the files that the user sent are no part of the answer."""
        if isinstance(message, list) and len(message) == 2:
            return [self._sent(message[0]), self._part(message[1])]
        if not isinstance(message, dict):
            return self.read(message, 1)
        if message.get("role") == "user":
            return self._sent(message)
        content = message.get("content")
        parts = [self._part(part) for part in content] if isinstance(content, list) else self._part(content)
        return {**self.read({k: v for k, v in message.items() if k != "content"}, 1), "content": parts}

    def _part(self, part: Any) -> Any:
        """A text, a file, or a component with its value; how the page draws that is left out."""
        match part:
            case {"component": str(kind), "value": value}:
                self.inline = kind not in WORDS
                return {"component": encodable(kind), "value": self.output(kind, value)}
        return self.read(part, 2)

    def _sent(self, value: Any) -> Any:
        sent = _Reader(inline=self.inline)
        return _nameless(sent.read(value, 1))

    def _string(self, value: str) -> Any:
        if not self.inline or not (found := DATA_URL.match(value)):
            return encodable(value)
        return self._inline(value, found, "output")

    def _file(self, path: str, value: dict[str, Any]) -> Any:
        if found := DATA_URL.match(path):
            return self._inline(path, found, _told(value) or "output")
        # A remote picture is passed on as the app named it; the worker fetches from the app alone.
        if path.startswith(("http://", "https://", "data:")):
            return {"url": encodable(path)}
        if value.get("is_stream") is True and (streamed := STREAMED.fullmatch(path)):
            return self._add(f"{streamed[1]}/playlist-file", _told(value) or "stream", None, streamed=True)
        media = value.get("mime_type")
        known = isinstance(media, str) and MEDIA_TYPE.fullmatch(media)
        return self._add(path, _told(value) or path, media if known else None)

    def _inline(self, url: str, found: re.Match[str], name: str) -> Any:
        try:
            data = base64.b64decode(url[found.end() :], validate=True)
        except (binascii.Error, ValueError) as error:
            raise bad_output("the app's answer holds a file that is no base64") from error
        suffix = "" if "." in name else mimetypes.guess_extension(found[1]) or ""
        return self._add("", name + suffix, found[1], data)

    def _add(
        self,
        path: str,
        name: str,
        media_type: str | None,
        data: bytes | None = None,
        *,
        streamed: bool = False,
    ) -> Any:
        unique = unique_name(safe_name(name), self.names)
        self.files.append(OutputFile(encodable(path), unique, media_type, data, streamed))
        check_answer(0, len(self.files))
        return {"file": unique, "index": len(self.files) - 1}


@dataclass(frozen=True, slots=True)
class OutputReading:
    """What the outputs hold; `data` lists them by position, without the States.

    `truncated` says that the text is only the beginning.
    """

    text: str | None
    data: list[Any]
    files: tuple[OutputFile, ...]
    truncated: bool = False


def read_outputs(
    components: Sequence[str | None], data: Sequence[Any], axes: Sequence[Axes] = ()
) -> OutputReading:
    """Read what the app brought; `components` are the outputs' types, None for a State, `axes` their plots'.

    Raises StepError of kind `bad_output` where the counts differ or it is nested too deeply.
    """
    if len(components) != len(data):
        raise bad_output(f"the app gave {len(data)} outputs where its description names {len(components)}")
    reader = _Reader()
    shown: list[tuple[str, Any]] = []
    for kind, value, drawn in zip_longest(components, data, axes):
        if kind is not None:
            reader.inline = kind not in WORDS
            shown.append((kind, reader.output(kind, value, drawn)))
    long = any(kind == "html" and isinstance(page, str) and len(page) > MAX_PAGE for kind, page in shown)
    return OutputReading(joined(shown), [value for _, value in shown], tuple(reader.files), long)


def _unwrapped(value: Any) -> Any:
    return value.get("value") if isinstance(value, dict) and value.get("__type__") == "update" else value


def _nameless(value: Any) -> Any:
    """The user's own message, its files without an index: they are not among the answer's."""
    if isinstance(value, list):
        return [_nameless(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"file", "index"}:
        return {"file": value["file"]}
    return {key: _nameless(item) for key, item in value.items()}


def _path(value: dict[str, Any]) -> str | None:
    """The path (or data URL) of a file as Gradio 4 to 6 write it, and as Gradio 3 does; None for no file."""
    path, meta = value.get("path"), value.get("meta")
    marked = isinstance(meta, dict) and meta.get("_type") == "gradio.FileData"
    if isinstance(path, str) and path and (marked or {"url", "orig_name"} <= value.keys()):
        return path
    name, data = value.get("name"), value.get("data")
    if not isinstance(value.get("is_file"), bool) or not isinstance(name, str | None):
        return None
    return name if value["is_file"] and name else data if isinstance(data, str) and data else None


def _told(value: dict[str, Any]) -> str | None:
    told = value.get("orig_name")
    return told if isinstance(told, str) and told else None
