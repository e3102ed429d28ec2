"""Methods that all clients share: submitting a prompt with its files, and running a batch."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spacedock.batching.batch_client import BatchClient
from spacedock.prepare import is_directory, prepare

if TYPE_CHECKING:
    from spacedock.batching.batch_options import BatchOptions, Retry
    from spacedock.batching.batch_run import FinishedLine
    from spacedock.batching.reading import LineSource

BatchSource = Path | str | Iterable[str | Mapping[str, Any]]
"""The path of a file or a directory, or the lines themselves: prompts, or objects."""


class ClientMethods:
    """What clients have in common: submitting one prompt, and running batches."""

    async def submit(
        self: BatchClient,
        /,
        prompt: str = "",
        *,
        files: Iterable[Path | str] = (),
        space: str | None = None,
        **options: Any,
    ) -> str:
        """Submit one job and return its id.

        `files` are paths on this machine; their bytes travel. `space` is a registry name, a Hub id
        (`user/space`) or the path of a Space's directory (it has a `/` at the start or `.` before it).
        `options` are the fields of `JobRequest`. Raises BadRequestError and its kinds.
        """
        paths = list(files)
        if paths or (space is not None and is_directory(space)):
            request, payloads = await asyncio.to_thread(prepare, prompt, paths, space, options)
        else:
            request, payloads = prepare(prompt, (), space, options)
        return await self.submit_prepared(request, payloads)

    async def batch(
        self: BatchClient,
        source: BatchSource,
        /,
        *,
        output: Path | str | None = None,
        retry: Retry | str | None = None,
        retry_if: Iterable[str] = (),
        in_flight: int | None = None,
        limit: int | None = None,
        max_failures: int | str | None = None,
        skip_invalid: bool = False,
        keep: bool = False,
        **options: Any,
    ) -> AsyncGenerator[FinishedLine]:
        """Run many prompts as `spacedock batch` does, and yield each line as it ends.

        `source` is the path of a file or a directory, or the lines: prompts, or objects with the keys of a
        line of JSON. Results go to `output` (.jsonl or .csv), by which the same call goes on after a crash
        and asks no line twice. `retry` (failed, degraded, all) and `retry_if` (kinds of errors) send lines
        again that have such results. The other parameters are the command's options; `options` are the
        fields of `JobRequest` for lines that do not give them. Raises BadLinesError before anything is sent.
        """
        # Here, as below: a client that only submits has no use for what batches take.
        from spacedock.batching.batch_options import Again, BatchOptions, MaxFailures, Retry

        chosen = BatchOptions(
            defaults={"batch": True, **options},
            again=Again.of(Retry(retry) if retry else None, ",".join(retry_if) or None),
            in_flight=in_flight,
            limit=limit,
            max_failures=None if max_failures is None else MaxFailures.of(str(max_failures)),
            skip_invalid=skip_invalid,
            keep=keep,
        )
        async with aclosing(_run(self, source, output, chosen)) as lines:
            async for line in lines:
                yield line


async def _run(
    client: BatchClient, given: BatchSource, output: Path | str | None, options: BatchOptions
) -> AsyncGenerator[FinishedLine]:
    from spacedock.batching.batch_run import BatchRun
    from spacedock.batching.checkpoint import state_dir
    from spacedock.batching.results.results_file import held

    source, place = await asyncio.to_thread(_opened, given)
    path = Path(output) if output is not None else None
    identity = "\n".join([place, str(path and path.resolve()), repr(sorted(options.defaults.items()))])
    with ExitStack() as stack:
        results = stack.enter_context(held(path)) if path is not None else None
        checkpoint = state_dir(os.environ), identity
        run = BatchRun(client, source, results, checkpoint, options, options.batch_of(place))
        async with aclosing(run.lines()) as lines:
            async for line in lines:
                yield line


def _opened(given: BatchSource) -> tuple[LineSource, str]:
    """The source, and what tells it from others."""
    from spacedock.batching.reading import BeginningRead
    from spacedock.batching.sources.given import GivenLines
    from spacedock.batching.sources.row import SourceOptions
    from spacedock.batching.sources.source import open_source

    if isinstance(given, str | Path):
        opened = open_source(str(given), SourceOptions())
        if opened.rereadable:
            return opened, str(Path(given).resolve())
        beginning = BeginningRead(opened)
        return beginning, beginning.identity
    beginning = BeginningRead(GivenLines(given))
    if isinstance(given, list | tuple):
        return GivenLines(given), beginning.identity
    return beginning, beginning.identity
