"""Reading a batch's source: once to check every line, once more to send what nobody has answered yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Protocol

from spacedock.batching.checkpoint import digest_of, fingerprint
from spacedock.batching.line_request import RequestMaker
from spacedock.batching.results.line_index import DuplicateIdError, LineIndex, LineName, ResultRow, known_as
from spacedock.batching.sources.line import BadLine, BatchLine
from spacedock.errors import BadRequestError
from spacedock.files import Payload
from spacedock.request import JobRequest

CHUNK, CHUNK_BYTES = 250, 2**24
"""Lines at once, few enough that their files, which go ahead of their jobs, are not much."""
_READ_AT_ONCE, _KEPT = 1000, 10_000


class LineSource(Protocol):
    """Where lines come from, such as a `sources.source.Source`; see there."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def rereadable(self) -> bool:
        """Whether `lines` gives them again."""
        ...

    @property
    def unit(self) -> str:
        """What the numbers of its lines count, such as "line"."""
        ...

    def lines(self) -> Iterator[BatchLine | BadLine]:
        """The lines, one after the other."""
        ...


class BeginningRead:
    """A source that can be read once: its first lines are kept, and where these are all it can be read again.

    `identity` tells short sources apart. Reading blocks until the source ends, or has some thousand lines.
    """

    def __init__(self, source: LineSource) -> None:
        self.name, self.unit = source.name, source.unit
        self._rest = source.lines()
        self._kept: list[BatchLine | BadLine] = []
        size = 0
        for line in self._rest:
            self._kept.append(line)
            size += len(repr(line))
            if len(self._kept) == _KEPT or size > CHUNK_BYTES:
                break
        else:
            self._rest = iter(())
            self.rereadable, self.identity = True, digest_of(repr(self._kept), digits=32)
            return
        self.rereadable, self.identity = False, ""

    def lines(self) -> Iterator[BatchLine | BadLine]:
        """The lines."""
        return chain(self._kept, self._rest)


@dataclass(frozen=True, slots=True)
class Unsent:
    """A line to send: its request, its files as far as they were read, and its result of before, if any."""

    name: LineName
    request: JobRequest
    payloads: tuple[Payload, ...] = field(repr=False)
    before: ResultRow | None

    @property
    def weight(self) -> int:
        """About how many bytes it takes in memory and in the queue; files count less, as they go to disks."""
        texts = len(self.request.prompt) + len(str(self.request.inputs))
        return texts + sum(ref.size for ref in self.request.files) // 8

    @property
    def bare(self) -> Unsent:
        """The line without its files' bytes."""
        return replace(self, payloads=())


class BatchReader:
    """Reads the lines of a batch in chunks; a chunk is empty where a thousand lines need not be sent.

    `wanted` says of a line's earlier result whether the line is sent all the same, `stays` is called with
    each result that stays, `invalid` with each line that cannot be a job: number, what is wrong, and text.
    """

    def __init__(
        self,
        source: LineSource,
        maker: RequestMaker,
        index: LineIndex,
        batch: str,
        wanted: Callable[[ResultRow], bool],
        stays: Callable[[ResultRow], None],
        invalid: Callable[[int, str, str], None],
    ) -> None:
        self._source, self._maker, self._index, self._batch = source, maker, index, batch
        self._wanted, self._stays, self._invalid = wanted, stays, invalid
        self.lines = 0
        """How many valid lines there are, as far as they were read."""
        self.changed: list[int] = []
        """The numbers of lines that were others at the second reading."""
        self.repeated_id: tuple[int, int] | None = None
        """The numbers of the first two lines that have the same guessed id."""

    def first(self, *, files: bool) -> Iterator[list[Unsent]]:
        """Check all lines and note them in the index; with `files`, keep these for sending."""
        return _chunks(self._checked(line, files=files) for line in self._source.lines())

    def again(self) -> Iterator[list[Unsent]]:
        """Read the lines that are to be sent a second time, with their files."""
        found = 0

        def lines() -> Iterator[Unsent | None]:
            nonlocal found
            for line in self._source.lines():
                found += bool(self._index.identity(line.number))
                yield self._same(line)
            if found < self.lines:
                self.changed.append(self._index.last_number())

        return _chunks(lines())

    def _checked(self, line: BatchLine | BadLine, *, files: bool) -> Unsent | None:
        try:
            if isinstance(line, BadLine):
                raise BadRequestError(line.problem)
            request, payloads = self._maker.make(line)
            line, identity = self._noted(line, fingerprint(request))
        except (BadRequestError, DuplicateIdError) as error:
            self._index.add_invalid(line.number)
            self._invalid(line.number, str(error), line.text if isinstance(line, BadLine) else "")
            return None
        self.lines += 1
        before = self._index.row(identity)
        if before is not None and not self._wanted(before):
            self._stays(replace(before, number=line.number))
            return None
        return self._unsent(line, identity, request, payloads if files else [], before)

    def _noted(self, line: BatchLine, asked: str) -> tuple[BatchLine, str]:
        """Note the line in the index. Returns it as noted, and its identity. Raises DuplicateIdError."""
        try:
            known = known_as(line.files[0] if len(line.files) == 1 else line.files, line.id)
            return line, self._index.add_line(line.number, asked, line.id, known)
        except DuplicateIdError as error:
            if not line.guessed_id:
                raise
            self.repeated_id = self.repeated_id or (error.first, line.number)
        # A column may be called id and name something else, such as a customer: it stays as a label.
        return self._noted(replace(line, id=None), asked)

    def _same(self, line: BatchLine | BadLine) -> Unsent | None:
        """The line at its second reading; None where it is not sent, or is another one now."""
        identity = self._index.identity(line.number)
        before = self._index.row(identity) if identity else None
        if identity == "" or (before is not None and not self._wanted(before)):
            return None
        try:
            if isinstance(line, BatchLine) and identity is not None:
                request, payloads = self._maker.make(line)
                if fingerprint(request) == identity.partition("-")[0]:
                    if line.guessed_id and not self._index.has_id(line.number):
                        line = replace(line, id=None)
                    return self._unsent(line, identity, request, payloads, before)
        except BadRequestError:
            pass
        self.changed.append(line.number)
        return None

    def _unsent(
        self,
        line: BatchLine,
        identity: str,
        request: JobRequest,
        payloads: list[Payload],
        before: ResultRow | None,
    ) -> Unsent:
        name = LineName(line.number, identity, line.files, line.id, self._batch)
        return Unsent(name, request, tuple(payloads), before)


def _chunks(lines: Iterator[Unsent | None]) -> Iterator[list[Unsent]]:
    chunk: list[Unsent] = []
    size = read = 0
    for line in lines:
        read += 1
        if line is not None:
            chunk.append(line)
            size += line.weight + sum(len(payload.data) for payload in line.payloads)
        if len(chunk) == CHUNK or size >= CHUNK_BYTES or read == _READ_AT_ONCE:
            yield chunk
            chunk, size, read = [], 0, 0
    if chunk:
        yield chunk
