"""What of a text is asked, and what only comes along: quotations, code, what follows a colon."""

from __future__ import annotations

import re
from dataclasses import dataclass

from spacedock_worker.recommend.taxonomy import taxonomy

_CODE = re.compile(r"```.*?(```|\Z)", re.DOTALL)
_QUOTED = re.compile(r"[“”„«»\"][^“”„«»\"]+[“”„«»\"]|(?<!\w)'[^'\n]{2,}'(?!\w)")
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u201a", "'"))
_END = re.compile(r"(?<=[.!?…])\s+|\n+")
_COLON = re.compile(r":(?=\s|$)")

_SHORT_IS = re.compile(r"\b(what|who|where|when|how|that|there|it)'s\b")

_HEAD_WORDS = 14
_TAIL_WORDS = 20
_SENTENCE_WORDS = 40
_FIRST, _LAST = 3, 2
_MOST = 4000


@dataclass(frozen=True, slots=True)
class TextReading:
    """One way to read a text: its sentences in lower case, each from where its request starts."""

    sentences: tuple[str, ...]


def readings(text: str) -> tuple[TextReading, ...]:
    """How the text may be read: without what only comes along, and, should that ask for nothing, whole."""
    plain = text.translate(_APOSTROPHES)
    short = plain if len(plain) <= 2 * _MOST else f"{plain[:_MOST]}\n{plain[-_MOST:]}"
    found = (_reading(_own_words(short)), _reading(short))
    return tuple(dict.fromkeys(reading for reading in found if reading.sentences))


def mended(reading: TextReading) -> TextReading:
    """The reading without slips of the keyboard in words that tell tasks apart."""
    return TextReading(tuple(taxonomy().spelling.mended(sentence) for sentence in reading.sentences))


def words_asked(text: str) -> str:
    """The words in which something is asked, for a search."""
    found = readings(text)
    return " ".join(found[0].sentences) if found else ""


def _own_words(text: str) -> str:
    """The text without quotations and code, of many lines the outermost, of those what is before a colon."""
    bare = _QUOTED.sub(" ", _CODE.sub(" ", text))
    lines = [line for line in (line.strip() for line in bare.splitlines()) if line]
    if not lines:
        return ""
    head, tail = lines[0], lines[-1] if len(lines) > 1 else ""
    short_tail = tail if len(tail.split()) <= _TAIL_WORDS else ""
    if short_tail and len(head.split()) > _SENTENCE_WORDS:
        return short_tail
    return f"{_before_colon(head)}\n{short_tail}"


def _before_colon(line: str) -> str:
    """What a line announces, where something follows its colon."""
    head, colon, rest = line, "", ""
    if (found := _COLON.search(line)) is not None:
        head, colon, rest = line[: found.start()], ":", line[found.end() :]
    return head if colon and rest.strip() and len(head.split()) <= _HEAD_WORDS else line


def _reading(text: str) -> TextReading:
    """The first sentences and the last: what is asked stands before what it is about, or after it."""
    parts = [part for part in _END.split(text) if part and re.search(r"\w", part)]
    if len(parts) > _FIRST + _LAST:
        parts = [*parts[:_FIRST], *parts[-_LAST:]]
    return TextReading(tuple(_request(part) for part in parts))


def _request(sentence: str) -> str:
    spelled = _SHORT_IS.sub(r"\1 is", sentence.lower())
    words = " ".join(spelled.split()[:_SENTENCE_WORDS])
    asked = words[found.end() :] if (found := taxonomy().polite.match(words)) else words
    return asked.strip() or words
