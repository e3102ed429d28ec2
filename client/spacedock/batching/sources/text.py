"""The text of a batch: lines of a file or a pipe, read in bounded memory, and what is wrong with them."""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from spacedock.batching.sources.line import BadLine, BatchLine
from spacedock.errors import BadRequestError, FileUnreadableError

MAX_LINE = 32 * 2**20
"""The most characters of one line, one row of a table, or one JSON document that is read whole."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_GZIP = b"\x1f\x8b"
_SEND = "to send files, give their directory, or use `spacedock run --file`"
_FORMATS = (
    (rb"BZh\d|\xfd7zXZ|\x28\xb5\x2f\xfd", "is compressed", "unpack it"),
    (rb"PK\x03\x04", "is an Excel workbook or a zip file", "save its sheet as CSV, or unpack it"),
    (rb"\xd0\xcf\x11\xe0", "is a file of an office program", "save its table as CSV"),
    (rb"PAR1|Obj\x01|SQLite format 3", "is a database's file", "write it as CSV or JSON Lines"),
    (rb"(?i)\s*<!doctype html", "is a web page", "download the file itself"),
    (rb"version https://git-lfs", "is a pointer of Git LFS", "fetch the file by `git lfs pull`"),
    (rb"%PDF-|\x89PNG|\xff\xd8\xff|GIF8|RIFF|ID3|OggS|fLaC|\0\0..ftyp", "is a picture or the like", _SEND),
)
"""How files begin that people hand over by mistake, what they are, and what to do."""
_HEAD = 2**16
_SHOWN = 200
_NOT_TEXT = re.compile("[\ud800-\udfff]")


class BadTextError(ValueError):
    """A line that cannot be read as text, or is too long; the lines behind it can be read."""

    def __init__(self, text: str, problem: str) -> None:
        self.text = text
        super().__init__(problem)


class TextLines:
    """The lines of a text, one after another, each ended by a line feed; `number` is that of the last one.

    `first` is the first line that is not blank, `packing` says what is not plain UTF-8. Iterating
    raises BadTextError for a line that is no text, and goes on behind it. Raises FileUnreadableError where
    the file breaks off, BadRequestError where it is no text at all or is empty.
    """

    def __init__(self, name: str, head: bytes, stream: io.RawIOBase, packing: str) -> None:
        self.name, self.number = name, 0
        encoding = next((name for mark, name in _MARKS if head.startswith(mark)), "utf-8")
        if problem := _kind(head) or (_about_nulls(head) if encoding == "utf-8" else None):
            raise BadRequestError(f"{name} {problem}")
        self._encoding = "" if encoding.startswith("utf-8") else encoding.upper()
        self.packing = "".join(f", {how}" for how in (self._encoding, packing) if how)
        # What is no text comes as surrogates, to be told with its line.
        errors = "surrogatepass" if self._encoding else "surrogateescape"
        self._text: TextIO = io.TextIOWrapper(io.BufferedReader(stream), encoding, errors)
        self.first = ""
        while not self.first.strip():
            self.first = self._read()
            if not self.first:
                raise BadRequestError(f"{name} is empty: give a prompt on each line")
        self._next: str | None = self.first

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        text = self._next if self._next is not None else self._read()
        self._next = None
        if not text:
            raise StopIteration
        if problem := self._problem(text):
            raise BadTextError(text[:_SHOWN], problem)
        return text

    @property
    def next_number(self) -> int:
        """The number of the line that comes next."""
        return self.number + (self._next is None)

    def all(self) -> str:
        """All the text that is left. Raises BadTextError, also where it is longer than MAX_LINE."""
        parts, size = list[str](), 0
        for text in self:
            parts.append(text)
            size += len(text)
            if size > MAX_LINE:
                problem = f"a JSON document of over {MAX_LINE // 2**20} MB: write JSON Lines (`jq -c '.[]'`)"
                raise BadTextError(parts[0][:_SHOWN], problem)
        return "".join(parts)

    def close(self) -> None:
        """Close the file."""
        self._text.close()

    def _read(self) -> str:
        try:
            text = more = self._text.readline(MAX_LINE + 1)
            while len(text) > MAX_LINE and more and not more.endswith("\n"):
                more = self._text.readline(_HEAD)
        except UnicodeDecodeError:
            # Where the characters behind it begin is not known.
            self.close()
            self._text = io.StringIO()
            text = "\ud800"
        except (OSError, EOFError, zlib.error) as error:
            raise _broken_off(self.name, error) from error
        self.number += bool(text)
        # Files with a byte order mark that were put together have some in the middle.
        return text.removeprefix("\ufeff")

    def _problem(self, text: str) -> str | None:
        if len(text) > MAX_LINE:
            return f"longer than {MAX_LINE // 2**20} MB: give what is large as a file, by its path"
        if "\0" in text:
            return f"a NUL byte at column {text.index(chr(0)) + 1}. Take it out, such as by `tr -d '\\000'`"
        if text.isascii() or not (found := _NOT_TEXT.search(text)):
            return None
        if self._encoding:
            return f"not whole {self._encoding} text. Save the file as UTF-8"
        # Between 80 and 9F only Windows has letters.
        encoding = "WINDOWS-1252" if re.search("[\udc80-\udc9f]", text) else "LATIN1"
        where = f"(column {found.start() + 1} is the byte {ord(found[0]) - 0xDC00:02X})"
        return f"not UTF-8 text {where}. Save the file as UTF-8, such as by `iconv -f {encoding} -t UTF-8`"


def each_line(lines: TextLines, parse: Callable[[int, str], BatchLine]) -> Iterator[BatchLine | BadLine]:
    """The job of each line that is not blank; `parse` raises ValueError for an invalid line."""
    while True:
        number, text = lines.next_number, ""
        try:
            text = next(lines).rstrip("\n")
            if text.strip():
                yield parse(number, text)
        except StopIteration:
            return
        except ValueError as error:
            yield BadLine(number, error.text if isinstance(error, BadTextError) else text, str(error))


def open_text(name: str, stream: io.BufferedIOBase) -> TextLines:
    """The lines of a file or a pipe, also of one that gzip compressed. Raises what TextLines raises."""
    try:
        return TextLines(name, *_beginning(stream))
    except (OSError, EOFError, zlib.error) as error:
        stream.close()
        raise _broken_off(name, error) from error
    except BadRequestError:
        stream.close()
        raise


def _broken_off(name: str, error: Exception) -> FileUnreadableError:
    return FileUnreadableError(name, getattr(error, "strerror", None) or f"it breaks off ({error})")


def _beginning(stream: io.BufferedIOBase) -> tuple[bytes, io.RawIOBase, str]:
    """Where the format shows, the stream from its start (a pipe cannot be read twice), and its packing."""
    head = stream.readline(_HEAD)
    whole = _Joined(head, stream)
    if not head.startswith(_GZIP):
        return head, whole, ""
    unpacked = gzip.GzipFile(fileobj=io.BufferedReader(whole))
    head = unpacked.readline(_HEAD)
    return head, _Joined(head, unpacked), "gzip"


class _Joined(io.RawIOBase):
    """What was read of a stream, and then the rest of it."""

    def __init__(self, head: bytes, rest: io.BufferedIOBase) -> None:
        self._parts: list[io.BufferedIOBase] = [io.BytesIO(head), rest]

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        """Close the stream, too."""
        for part in self._parts:
            part.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        """Fill a part of the buffer; 0 is the end."""
        view = memoryview(buffer)
        data = b""
        while self._parts and not (data := self._parts[0].read1(len(view))):
            self._parts.pop(0).close()
        view[: len(data)] = data
        return len(data)


def _kind(raw: bytes) -> str | None:
    for beginning, what, remedy in _FORMATS:
        if re.match(beginning, raw, re.DOTALL):
            return f"{what}, no list of prompts: {remedy}"
    return None


def _about_nulls(raw: bytes) -> str | None:
    if raw.count(0) <= len(raw) // 4:
        return None
    odd = raw[1::2].count(0)
    even = raw.count(0) - odd
    # Latin letters have one byte that is not NUL, in two or in four.
    width = 32 if min(odd, even) > len(raw) // 8 else 16
    if max(odd, even) > len(raw) // 3:
        encoding = f"UTF-{width}{'LE' if raw[0] else 'BE'}"
        remedy = f"Save it as UTF-8, such as by `iconv -f {encoding} -t UTF-8`"
        return f"looks like UTF-{width} without its byte order mark. {remedy}"
    return f"is no text (NUL at byte {raw.index(0)}). Give prompts as text in UTF-8; {_SEND}"
