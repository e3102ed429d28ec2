"""Files as content-addressed payloads: what they are, their limits, and reading them from disk."""

from __future__ import annotations

import base64
import binascii
import hashlib
import mimetypes
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote_to_bytes

from pydantic import BaseModel, ConfigDict, Field

from spacedock.errors import BadRequestError, FileTooLargeError, FileUnreadableError

MAX_FILE_BYTES = 64 * 2**20
MAX_JOB_BYTES = 256 * 2**20
MAX_JOB_FILES = 1000
MAX_REPOSITORY_BYTES = 128 * 2**20
"""Of the tar of a Space's directory, whose files are at most MAX_FILE_BYTES together."""

MAX_REPOSITORY_FILES = 10_000

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_MEDIA_TYPE = re.compile(r"[!-~]([ -~]{0,253}[!-~])?")

_NEWER_TYPES = {
    ".avif": "image/avif",
    ".flac": "audio/flac",
    ".m4a": "audio/mp4",
    ".md": "text/markdown",
    ".mkv": "video/x-matroska",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".wav": "audio/wav",
    ".webm": "video/webm",
    ".webp": "image/webp",
}
"""Types that Python 3.11 does not know, or not without the system's own table."""


_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
    (b"\xff\xf2", "audio/mpeg"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
)
_RIFF = {b"WAVE": "audio/wav", b"WEBP": "image/webp"}


class FileRef(BaseModel):
    """A file by its content: `sha256` is its digest, `name` is only a name, never a path.

    `vault` sets the payload of a private job apart: it is stored for that job alone, and deleted with it.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str = Field(min_length=1, max_length=255, pattern=r"^[^/\\\x00]+$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0)
    media_type: str = Field(default="application/octet-stream", pattern=r"^[!-~]([ -~]{0,253}[!-~])?$")
    vault: str | None = Field(default=None, max_length=200, pattern=r"^[A-Za-z0-9_-]+$")

    @property
    def place(self) -> str:
        """What names the payload in Redis: the digest, which all jobs share, or the digest in its vault."""
        return f"{self.sha256}.{self.vault}" if self.vault else self.sha256

    @property
    def is_plain(self) -> bool:
        """Whether the name is safe everywhere: neither `.` nor `..`, and without control characters."""
        return self.name not in {".", ".."} and _CONTROL.search(self.name) is None


@dataclass(frozen=True, slots=True)
class Payload:
    """A file with its bytes, as it travels to Redis or into a container."""

    ref: FileRef
    data: bytes


def media_type_of(name: str) -> str:
    """Guess the media type from the file's name; `application/octet-stream` where nothing is known."""
    suffix = Path(name).suffix.lower()
    return _NEWER_TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"


def sniffed(data: bytes) -> str | None:
    """The media type that a file's first bytes tell; None where they tell none."""
    if data[:4] == b"RIFF":
        return _RIFF.get(data[8:12])
    if data[4:8] == b"ftyp":
        return "video/mp4"
    return next((kind for magic, kind in _MAGIC if data.startswith(magic)), None)


def travelling_name(name: str) -> str:
    """A file's name as it may travel: some that Linux allows are paths elsewhere, or are not Unicode."""
    return _CONTROL.sub("_", name.encode("utf-8", "replace").decode().replace("\\", "_"))[-255:]


def payload_of(name: str, data: bytes, media_type: str | None = None) -> Payload:
    """Address `data` by its SHA-256; an invalid media type is guessed from the name instead."""
    digest = hashlib.sha256(data).hexdigest()
    kind = media_type if media_type and _MEDIA_TYPE.fullmatch(media_type) else media_type_of(name)
    ref = FileRef(name=name, sha256=digest, size=len(data), media_type=kind)
    return Payload(ref, data)


def of_data_url(url: str, what: str = "file") -> tuple[bytes, str]:
    """The bytes of a `data:` URL, and their media type. Raises BadRequestError."""
    head, comma, body = url[len("data:") :].partition(",")
    if not comma:
        raise BadRequestError(f"the {what}'s data URL has no data: write data:image/png;base64,…")
    media_type = head.partition(";")[0] or "text/plain"
    is_base64 = head.lower().endswith(";base64")
    return (of_base64(body, what) if is_base64 else unquote_to_bytes(body)), media_type


def of_base64(text: str, what: str) -> bytes:
    """The bytes that are written in base64. Raises BadRequestError."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequestError(f"the {what}'s data is not base64: {error}") from error


def set_apart(payloads: Iterable[Payload], vault: str) -> tuple[Payload, ...]:
    """The payloads as a private job has them: no other job shares them."""
    return tuple(replace(p, ref=p.ref.model_copy(update={"vault": vault})) for p in payloads)


def check_file(path: Path, max_bytes: int = MAX_FILE_BYTES) -> os.stat_result:
    """What the system says of a file that can be sent.

    Raises FileUnreadableError where it is not a regular file, FileTooLargeError over `max_bytes`.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise FileUnreadableError(str(path), error.strerror or str(error)) from error
    except ValueError as error:
        raise FileUnreadableError(repr(str(path)), f"is no path ({error})") from error
    if stat.S_ISDIR(status.st_mode):
        raise FileUnreadableError(str(path), "is a directory")
    if not stat.S_ISREG(status.st_mode):
        # A device or a pipe has no size to check, and may have no end.
        raise FileUnreadableError(str(path), "is not a regular file")
    if status.st_size > max_bytes:
        raise FileTooLargeError(str(path), status.st_size, max_bytes)
    return status


def read_payload(path: Path, max_bytes: int = MAX_FILE_BYTES) -> Payload:
    """Read one file of the client's own machine.

    Raises FileUnreadableError where there is no readable regular file, or it changes meanwhile, and
    FileTooLargeError over `max_bytes` (checked before reading).
    """
    before = check_file(path, max_bytes)
    try:
        # A pipe that has taken its place meanwhile must not hold us.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            data = file.read(before.st_size + 1)
            after = os.fstat(file.fileno())
    except OSError as error:
        raise FileUnreadableError(str(path), error.strerror or str(error)) from error
    if len(data) != before.st_size or _version(before) != _version(after):
        raise FileUnreadableError(str(path), "changed while it was read: send it once it is whole")
    return payload_of(travelling_name(path.name), data)


def _version(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def check_sizes(
    payloads: Iterable[Payload], max_file: int = MAX_FILE_BYTES, max_job: int = MAX_JOB_BYTES
) -> None:
    """Raise FileTooLargeError where one file, or all of one job together, are over the limits (bytes)."""
    check_refs((payload.ref for payload in payloads), max_file, max_job)


def check_refs(refs: Iterable[FileRef], max_file: int = MAX_FILE_BYTES, max_job: int = MAX_JOB_BYTES) -> None:
    """`check_sizes` by what references say of their files."""
    total = 0
    for ref in refs:
        if ref.size > max_file:
            raise FileTooLargeError(ref.name, ref.size, max_file)
        total += ref.size
    if total > max_job:
        raise FileTooLargeError("all files of the job", total, max_job)


class Held:
    """Bytes by digest, at most `limit` of them; what came first goes first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._files: dict[str, bytes] = {}

    def add(self, digest: str, data: bytes) -> None:
        """Hold a file; again is safe."""
        if digest in self._files:
            return
        self._files[digest] = data
        self._size += len(data)
        while self._size > self._limit:
            self._size -= len(self._files.pop(next(iter(self._files))))

    def get(self, digest: str) -> bytes | None:
        """The file, or None where it is not held (any more)."""
        return self._files.get(digest)
