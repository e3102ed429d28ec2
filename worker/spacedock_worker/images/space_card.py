"""What a Space's README.md says about it, in its YAML front matter (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import yaml

_BLOCK = re.compile(r"\A\ufeff?\s*---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_PATH = re.compile(r"((?:/[A-Za-z0-9._~-]+)*)/?")
_LINE = re.compile(r"^([a-z_]+)[ \t]*:(.*)$", re.MULTILINE)
_MOST = 8_192
"""The characters of a block that a parser reads: it takes seconds over some that are longer."""

RUNNABLE = ("gradio", "docker")
"""The SDKs of Spaces that have something to call."""

NOTHING_TO_CALL = {
    "streamlit": "it is a Streamlit app, whose page talks to its own server only: there is no API to call",
    "static": "it is a static page: there is no server that could be asked",
}
"""Why those of other SDKs have not."""

_KEYS = frozenset(
    {"sdk", "sdk_version", "python_version", "app_file", "app_port", "base_path"}
    | {"startup_duration_timeout", "hf_oauth"}
)
_NULL = frozenset({"null", "Null", "NULL", "~"})
_DURATION = re.compile(r"(?:(\d{1,4})\s*h)?\s*(?:(\d{1,6})\s*m(?:in)?)?\s*(?:(\d{1,7})\s*s?)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class SpaceCard:
    """The front matter as far as it matters for building; None is what was not said (or makes no sense).

    The keys are those of the Hub's "Spaces Configuration Reference".
    """

    sdk: str | None = None
    sdk_version: str | None = None
    python_version: str | None = None
    app_file: str | None = None
    app_port: int | None = None
    base_path: str | None = None
    startup_seconds: int | None = None
    oauth: bool = False


def read_card(readme: str) -> SpaceCard:
    """The card in the text of README.md; an empty one where there is no front matter."""
    found = _BLOCK.match(readme)
    return card_of(_fields(_short(found.group(1))) if found else {})


def without_card(readme: str) -> str:
    """The text of README.md below its front matter."""
    return _BLOCK.sub("", readme)


def card_of(fields: Mapping[str, str]) -> SpaceCard:
    """The card of these fields; what makes no sense in them counts as not said."""
    sdk = fields.get("sdk")
    return SpaceCard(
        sdk=sdk.lower() if sdk else None,
        sdk_version=fields.get("sdk_version"),
        python_version=fields.get("python_version"),
        app_file=fields.get("app_file"),
        app_port=_port(fields.get("app_port")),
        base_path=_base_path(fields.get("base_path")),
        startup_seconds=_seconds(fields.get("startup_duration_timeout")),
        oauth=fields.get("hf_oauth", "").lower() == "true",
    )


def _short(block: str) -> str:
    """The block; of a long one (tags, lists of models) only the lines that matter here."""
    if len(block) <= _MOST:
        return block
    return "\n".join(found[0] for found in _LINE.finditer(block) if found[1] in _KEYS)[:_MOST]


def _fields(block: str) -> dict[str, str]:
    try:
        # BaseLoader leaves every scalar a string: python_version 3.10 must not become the number 3.1.
        loaded = yaml.load(block, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError):
        return _fields_by_line(block)
    if not isinstance(loaded, dict):
        return {}
    texts = {str(k): v.strip() for k, v in loaded.items() if isinstance(v, str)}
    return {key: text for key, text in texts.items() if text and text not in _NULL}


def _fields_by_line(block: str) -> dict[str, str]:
    """The `key: value` lines of a block that is not YAML as a whole; the first of each key counts."""
    fields: dict[str, str] = {}
    for key, value in _LINE.findall(block):
        if (bare := value.strip().strip("\"'")) and bare not in _NULL:
            fields.setdefault(key, bare)
    return fields


def _port(text: str | None) -> int | None:
    if text is None or not text.isascii() or not text.isdigit():
        return None
    port = int(text[:6])
    return port if 1 <= port <= 65_535 else None


def _seconds(text: str | None) -> int | None:
    """The seconds of "1h", "30m", "1h30m", "90s" or "90"; None where it says nothing like it."""
    found = _DURATION.fullmatch((text or "").lower())
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    return hours * 3600 + minutes * 60 + seconds or None


def _base_path(text: str | None) -> str | None:
    """The path that a Space opens at, without its last slash; None for the root, or where it is no path."""
    found = _PATH.fullmatch(text or "")
    return found[1] if found and found[1] else None
