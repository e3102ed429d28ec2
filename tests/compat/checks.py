"""What must be true of an answer that is more than its text; the same questions on every version."""

from __future__ import annotations

import io
import json
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spacedock_worker.adapters.base import AppAnswer

FIXTURES = Path(__file__).parents[1] / "spaces" / "fixtures"

Check = Callable[[AppAnswer], bool]
Returned = Callable[[Any], bool]


def fixture(name: str) -> bytes:
    """The bytes of a fixture."""
    return (FIXTURES / name).read_bytes()


def is_picture(data: bytes) -> bool:
    """Whether these are a PNG, a JPEG or a WebP: Gradio chooses, by its version."""
    return data.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")) or (data[:4], data[8:12]) == (
        b"RIFF",
        b"WEBP",
    )


def pictures(count: int, *words: str) -> Check:
    """So many pictures and nothing else, and these words (captions) in the data."""

    def check(answer: AppAnswer) -> bool:
        told = json.dumps(answer.data)
        kinds = all(f.ref.media_type.startswith("image/") and is_picture(f.data) for f in answer.files)
        return len(answer.files) == count and kinds and all(word in told for word in words)

    return check


def files(*expected: tuple[str, bytes], text: str | None = None) -> Check:
    """Exactly these files by name and content, and this text."""

    def check(answer: AppAnswer) -> bool:
        return answer.text == text and [(f.ref.name, f.data) for f in answer.files] == list(expected)

    return check


def one_file(suffix: str, content: bytes, text: str | None = None) -> Check:
    """One file of that content, whatever Gradio called it before the suffix."""

    def check(answer: AppAnswer) -> bool:
        named = [f.ref.name.endswith(suffix) and f.data == content for f in answer.files]
        return answer.text == text and named == [True]

    return check


def sound(seconds: float) -> Check:
    """One wave file that lasts so long."""

    def check(answer: AppAnswer) -> bool:
        [file] = answer.files
        return file.ref.media_type.startswith("audio/") and abs(length(file.data) - seconds) < 0.01

    return check


def length(data: bytes) -> float:
    """How long a wave file is, in seconds."""
    with wave.open(io.BytesIO(data)) as audio:
        return audio.getnframes() / audio.getframerate()


def data(*expected: Any) -> Check:
    """Exactly these outputs."""
    return lambda answer: answer.data == list(expected)


def says(text: str) -> Check:
    """This text, beside an emptied textbox."""
    return lambda answer: (answer.text or "").strip() == text


def table(columns: list[str], rows: list[list[Any]]) -> Check:
    """One dataframe with these columns and values; numbers are compared as numbers."""

    def check(answer: AppAnswer) -> bool:
        [found] = answer.data
        return found["headers"] == columns and [_numbers(row) for row in found["data"]] == rows

    return check


def label(name: str, **shares: float) -> Check:
    """A Label: its name is the text, and its confidences are these."""

    def check(answer: AppAnswer) -> bool:
        [found] = answer.data
        told = {row["label"]: round(row["confidence"], 3) for row in found["confidences"]}
        return answer.text == name and told == shares

    return check


def marked(*words: str) -> Check:
    """A HighlightedText in which just these words have a class; Gradio 3 gives it in pairs."""

    def check(answer: AppAnswer) -> bool:
        parts = [part.values() if isinstance(part, dict) else part for part in answer.data[0]]
        return [token.strip() for token, kind in parts if kind] == list(words)

    return check


def returned(*expected: Any) -> Returned:
    """gradio_client gave these outputs: one by itself, several as a tuple."""
    return lambda result: result == (expected[0] if len(expected) == 1 else expected)


def mentions(*words: str) -> Returned:
    """gradio_client gave something whose printed form has these words."""
    return lambda result: all(word in str(result) for word in words)


def path_with(content: bytes) -> Returned:
    """gradio_client gave, alone or first, the path of a file (or a dict around it) with that content."""
    return lambda result: _read(result) == content


def path_where(question: Callable[[bytes], bool]) -> Returned:
    """gradio_client gave, alone or first, the path of a file of which this is true."""
    return lambda result: question(_read(result))


def _read(result: Any) -> bytes:
    while not isinstance(result, str):
        result = next(iter(result.values())) if isinstance(result, dict) else result[0]
    return Path(result).read_bytes()


def _numbers(row: list[Any]) -> list[Any]:
    return [float(v) if isinstance(v, int) or (isinstance(v, str) and _is_number(v)) else v for v in row]


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()
