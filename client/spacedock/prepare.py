"""From what a user gives to a request: files are read, and a Space's directory or address is understood."""

from __future__ import annotations

import io
import os
import posixpath
import re
import tarfile
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from spacedock._wire import submission, wire
from spacedock.errors import BadRequestError, FileTooLargeError, FileUnreadableError
from spacedock.files import (
    MAX_FILE_BYTES,
    MAX_REPOSITORY_BYTES,
    MAX_REPOSITORY_FILES,
    Payload,
    check_sizes,
    payload_of,
    read_payload,
    set_apart,
    travelling_name,
)
from spacedock.request import SPACE_NAME, JobRequest

MEDIA_TYPE = "application/x-tar"

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LEFT_OUT = frozenset({".git", "__pycache__", ".venv", "node_modules", ".DS_Store"})
_URL = re.compile(r"(?:https?://|(?:www\.)?(?:huggingface\.co|hf\.co)/)", re.IGNORECASE)
_PAGE = re.compile(
    r"(?:https?://)?[^/\s?#]+/spaces/([A-Za-z0-9][\w.-]*)/([A-Za-z0-9][\w.-]*)(?:[/?#].*)?", re.IGNORECASE
)
_APP = re.compile(r"https?://[a-z0-9-]+(?:\.static)?\.hf\.space(?:[:/?#].*)?", re.IGNORECASE)


def prepare(
    prompt: str, files: Iterable[Path | str | Payload], space: str | None, options: dict[str, Any]
) -> tuple[JobRequest, list[Payload]]:
    """Make a request of what a user gives: files are read, a Space's directory is packed, sizes are checked.

    Raises BadRequestError, FileUnreadableError, FileTooLargeError.
    """
    unknown = options.keys() - JobRequest.model_fields.keys()
    if unknown:
        raise BadRequestError(f"unknown option {', '.join(sorted(unknown))}: see JobRequest")
    payloads = [file if isinstance(file, Payload) else read_payload(Path(file)) for file in files]
    check_sizes(payloads)
    fields: dict[str, Any] = {**options, "prompt": prompt, "files": tuple(p.ref for p in payloads)}
    if space is not None and is_directory(space):
        repository = pack(Path(space))
        payloads.append(repository)
        fields["repository"] = repository.ref
    else:
        fields["space"] = _name_of(space) if space is not None else None
    return request_of(fields, payloads)


def request_of(fields: Mapping[str, Any], payloads: list[Payload]) -> tuple[JobRequest, list[Payload]]:
    """The request with these fields, its files set apart where it is private. Raises BadRequestError."""
    try:
        request = JobRequest(**fields)
    except ValidationError as error:
        raise BadRequestError(wire.describe(error)) from error
    submission.encoded(request)
    # Files that are stored already stay where they are.
    apart = request.privacy and payloads and not request.set_apart
    return _apart(request, payloads) if apart else (request, payloads)


def _name_of(space: str) -> str:
    name = hub_id_of(space)
    if not SPACE_NAME.fullmatch(name) and name.strip() and Path(name).is_dir():
        raise BadRequestError(
            f"'{name}' is not a Space's name, and there is a directory of that name: write ./{name}"
        )
    return name


def _apart(request: JobRequest, payloads: list[Payload]) -> tuple[JobRequest, list[Payload]]:
    """The request and its payloads, its files in a vault of its own; a Space's repository is no secret."""
    count = len(request.files)
    files = set_apart(payloads[:count], uuid.uuid4().hex)
    request = request.model_copy(update={"files": tuple(payload.ref for payload in files)})
    return request, [*files, *payloads[count:]]


def is_directory(space: str) -> bool:
    """Whether a Space is given as a directory of this machine: it starts with `.`, `/` or `~`."""
    return space.startswith((".", "/", "~"))


def hub_id_of(space: str) -> str:
    """The Hub id (user/space) of a Space that is given by its page's address; any other name as it is.

    Raises BadRequestError for an address that is not a Space's page.
    """
    text = space.strip()
    if not _URL.match(text):
        return space
    if found := _PAGE.fullmatch(text):
        return f"{found[1]}/{found[2]}"
    if _APP.fullmatch(text):
        raise BadRequestError(
            f"'{text}' is where a Space runs, which does not tell its id. Give its page's address "
            "(https://huggingface.co/spaces/user/space), or its id (user/space)."
        )
    raise BadRequestError(
        f"'{text}' is no Space's page: that is https://huggingface.co/spaces/user/space, in short user/space"
    )


def pack(directory: Path, max_bytes: int = MAX_FILE_BYTES) -> Payload:
    """Pack a Space's directory (files and symbolic links, sorted, without times or owners).

    Raises FileUnreadableError where it is not a readable directory, BadRequestError where it is no Space, has
    too many files or a name or link that cannot be sent, FileTooLargeError over `max_bytes`.
    """
    try:
        directory = directory.expanduser()
    except RuntimeError as error:
        raise FileUnreadableError(str(directory), "there is no such user") from error
    if not directory.is_dir():
        raise FileUnreadableError(str(directory), "is not a directory")
    if not any((directory / name).is_file() for name in ("README.md", "app.py", "Dockerfile")):
        raise BadRequestError(f"{directory} is not a Space: it has no README.md, app.py or Dockerfile")
    total = 0
    buffer = io.BytesIO()
    try:
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for count, path in enumerate(_files(directory), start=1):
                if count > MAX_REPOSITORY_FILES:
                    raise BadRequestError(f"the Space {directory} has more than {MAX_REPOSITORY_FILES} files")
                total += 0 if path.is_symlink() else path.stat().st_size
                if total > max_bytes:
                    raise FileTooLargeError(f"the Space {directory}", total, max_bytes)
                _add(tar, path, path.relative_to(directory).as_posix())
    except OSError as error:
        raise FileUnreadableError(str(error.filename or directory), error.strerror or str(error)) from error
    # Many small files are large in a tar.
    if buffer.tell() > (limit := max_bytes + MAX_REPOSITORY_BYTES - MAX_FILE_BYTES):
        raise FileTooLargeError(f"the Space {directory}", buffer.tell(), limit)
    name = (directory.resolve().name or "space") + ".tar"
    return payload_of(travelling_name(name), buffer.getvalue(), MEDIA_TYPE)


def _files(directory: Path) -> Iterator[Path]:
    for folder, names, files in os.walk(directory):
        names[:] = sorted(name for name in names if name not in _LEFT_OUT)
        for name in sorted((*files, *names)):
            path = Path(folder, name)
            if name not in _LEFT_OUT and (path.is_symlink() or path.is_file()):
                yield path


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    if _CONTROL.search(name) or "\\" in name:
        raise BadRequestError(
            f"the Space's file {name!a} has a control character or a backslash in its name: rename it"
        )
    info = tarfile.TarInfo(name)
    if path.is_symlink():
        info.type, info.linkname = tarfile.SYMTYPE, _target(path, name)
        tar.addfile(info)
        return
    info.size = path.stat().st_size
    info.mode = 0o755 if os.access(path, os.X_OK) else 0o644
    with path.open("rb") as file:
        tar.addfile(info, file)


def _target(path: Path, name: str) -> str:
    """What a symbolic link points to, which must be in the Space as well."""
    link = os.readlink(path)
    target = posixpath.normpath(posixpath.join(posixpath.dirname(name), link))
    if posixpath.isabs(link) or target.split("/")[0] == ".." or _CONTROL.search(link):
        raise BadRequestError(
            f"the Space's file {name} is a link that leads out of its directory (to {link!a}): "
            "put a copy of the file in its place"
        )
    return link
