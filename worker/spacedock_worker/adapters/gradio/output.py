"""An endpoint's outputs as an answer: text for people, data without the container's paths, files."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from spacedock_worker.adapters.gradio.faults import bad_output

MAX_DEPTH = 64
MAX_FILES = 256
MAX_FILE_NAME = 255
MEDIA_TYPE = re.compile(r"[a-z0-9.+-]{1,64}/[A-Za-z0-9.+-]{1,128}")


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A file that the app gave: its path there, a safe and unique name, and a media type if it told one."""

    path: str
    name: str
    media_type: str | None


@dataclass(slots=True)
class _Reader:
    files: list[OutputFile] = field(default_factory=list)
    names: set[str] = field(default_factory=set)

    def read(self, value: Any, depth: int = 0) -> Any:
        """`value` with updates unwrapped and each file replaced by {"file": name, "index": n}."""
        if depth > MAX_DEPTH:
            raise bad_output(f"the app's answer is nested deeper than {MAX_DEPTH} levels")
        if isinstance(value, str):
            return _encodable(value)
        if isinstance(value, list):
            return [self.read(item, depth + 1) for item in value]
        if not isinstance(value, dict):
            return value
        if value.get("__type__") == "update":
            return self.read(value.get("value"), depth + 1)
        if _is_file(value):
            return self._file(value)
        return {_encodable(key): self.read(item, depth + 1) for key, item in value.items()}

    def _file(self, value: dict[str, Any]) -> Any:
        path = value["path"]
        # A remote picture is passed on as the app named it; the worker fetches from the app alone.
        if path.startswith(("http://", "https://", "data:")):
            return {"url": _encodable(path)}
        if len(self.files) >= MAX_FILES:
            raise bad_output(f"the app gave more than {MAX_FILES} files")
        told, media = value.get("orig_name"), value.get("mime_type")
        name = self._unique(safe_name(told if isinstance(told, str) and told else path))
        known = isinstance(media, str) and MEDIA_TYPE.fullmatch(media)
        self.files.append(OutputFile(path, name, media if known else None))
        return {"file": name, "index": len(self.files) - 1}

    def _unique(self, name: str) -> str:
        stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix
        free, number = name, 1
        while free in self.names:
            number += 1
            free = f"{stem[: MAX_FILE_NAME - len(suffix) - 8]}-{number}{suffix}"
        self.names.add(free)
        return free


@dataclass(frozen=True, slots=True)
class Reading:
    """What the outputs hold; `data` lists them by position, without the States."""

    text: str | None
    data: list[Any]
    files: tuple[OutputFile, ...]


def read_outputs(components: Sequence[str | None], data: Sequence[Any]) -> Reading:
    """Read what the queue brought; `components` are the outputs' types, None for a State.

    Raises StepError of kind `bad_output` where the counts differ or it is nested too deeply.
    """
    if len(components) != len(data):
        raise bad_output(f"the app gave {len(data)} outputs where its description names {len(components)}")
    reader = _Reader()
    shown = [(kind, reader.read(v)) for kind, v in zip(components, data, strict=True) if kind is not None]
    texts = [text for kind, value in shown if (text := _text(kind, value)) is not None]
    return Reading("\n".join(texts) if texts else None, [v for _, v in shown], tuple(reader.files))


def safe_name(name: str) -> str:
    """A bare file name: no directories, no control characters, at most 255 characters, never empty."""
    bare = re.split(r"[/\\]", _encodable(name))[-1]
    kept = "".join(c for c in bare if c.isprintable()).strip()
    if kept in ("", ".", ".."):
        return "file"
    suffix = PurePosixPath(kept).suffix[:20]
    return kept if len(kept) <= MAX_FILE_NAME else kept[: MAX_FILE_NAME - len(suffix)] + suffix


def _is_file(value: dict[str, Any]) -> bool:
    path, meta = value.get("path"), value.get("meta")
    if not isinstance(path, str) or not path:
        return False
    marked = isinstance(meta, dict) and meta.get("_type") == "gradio.FileData"
    return marked or {"url", "orig_name"} <= value.keys()


def _encodable(text: str) -> str:
    # JSON can carry half of a surrogate pair, which UTF-8 cannot.
    return text.encode("utf-8", "replace").decode("utf-8")


def _text(component: str, value: Any) -> str | None:
    match value:
        case None | {"file": str(), "index": int()}:
            return None
        case str():
            return value
        case {"url": str(url)} if len(value) == 1:
            return url
        case {"label": label, **rest} if component == "label" and not rest.keys() - {"confidences"}:
            return None if label is None else str(label)
        case list() if component == "chatbot":
            return _last_message(value)
        case list() | dict() if not value or _only_files(value):
            return None
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _last_message(messages: list[Any]) -> str | None:
    """The newest words of a chat: Gradio 5's pairs and messages, Gradio 6's messages made of parts."""
    match messages[-1:]:
        case [{"content": str(text)}] | [[_, str(text)]]:
            return text
        case [{"content": list(parts)}]:
            texts = [p["text"] for p in parts if isinstance(p, dict) and isinstance(p.get("text"), str)]
            return "\n".join(texts) or None
    return None


def _only_files(value: list[Any] | dict[str, Any]) -> bool:
    if isinstance(value, list):
        return all(isinstance(item, list | dict) and _only_files(item) for item in value)
    if value.keys() == {"file", "index"}:
        return True
    media = {key: value[key] for key in ("image", "video") if isinstance(value.get(key), dict)}
    return bool(media) and all(_only_files(item) for item in media.values())
