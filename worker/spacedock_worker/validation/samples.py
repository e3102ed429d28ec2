"""What a trial call sends: a sentence, a picture that says HELLO, a second of sound; made here."""

from __future__ import annotations

import io
import math
import struct
import wave
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from spacedock.files import Payload, payload_of

SENTENCE = "The weather is lovely today, and I am very happy with it."
QUESTION = "What does the picture say?"

_LETTERS = {
    "H": ("#...#", "#...#", "#...#", "#####", "#...#", "#...#", "#...#"),
    "E": ("#####", "#....", "#....", "####.", "#....", "#....", "#####"),
    "L": ("#....", "#....", "#....", "#....", "#....", "#....", "#####"),
    "O": (".###.", "#...#", "#...#", "#...#", "#...#", "#...#", ".###."),
}
_SCALE, _MARGIN = 8, 3
_RATE, _TONE = 16_000, 440.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One thing to send: a prompt, files, or both."""

    prompt: str = ""
    files: tuple[Payload, ...] = ()


def samples(takes: Collection[str], known: bool) -> Iterator[Sample]:
    """What fits a Space that takes those kinds, the best first; where they are not `known`, also others."""
    text = "text" in takes
    if "image" in takes:
        yield Sample(QUESTION if text else "", (picture(),))
    if "audio" in takes:
        yield Sample(SENTENCE if text else "", (sound(),))
    if "file" in takes:
        yield Sample(SENTENCE if text else "", (letter(),))
    if text or not known:
        yield Sample(SENTENCE)
    if not known:
        yield Sample("", (picture(),))
        yield Sample("", (sound(),))


def picture() -> Payload:
    """A small PNG: HELLO in black on white."""
    rows = [".".join(_LETTERS[letter][row] for letter in "HELLO") for row in range(7)]
    width = len(rows[0]) + 2 * _MARGIN
    blank = ["." * width] * _MARGIN
    padded = [*blank, *(f"{'.' * _MARGIN}{row}{'.' * _MARGIN}" for row in rows), *blank]
    lines = [bytes(0 if dot == "#" else 255 for dot in row for _ in range(_SCALE)) for row in padded]
    raw = b"".join(b"\0" + line for line in lines for _ in range(_SCALE))
    head = struct.pack(">IIBBBBB", width * _SCALE, len(padded) * _SCALE, 8, 0, 0, 0, 0)
    chunks = (_chunk(b"IHDR", head), _chunk(b"IDAT", zlib.compress(raw)), _chunk(b"IEND", b""))
    return payload_of("hello.png", b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def sound() -> Payload:
    """A WAV of one second: a tone."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE)
        tone = (int(12_000 * math.sin(2 * math.pi * _TONE * n / _RATE)) for n in range(_RATE))
        file.writeframes(b"".join(struct.pack("<h", value) for value in tone))
    return payload_of("tone.wav", buffer.getvalue())


def letter() -> Payload:
    """A text file."""
    return payload_of("letter.txt", f"{SENTENCE}\n".encode())


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
