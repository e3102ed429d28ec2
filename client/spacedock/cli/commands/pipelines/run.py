"""`spacedock pipeline run`: a run of a pipeline, its steps while it goes on, and what it gave."""

from __future__ import annotations

import asyncio
import json as json_module
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spacedock.cli import options, preflight
from spacedock.cli.commands.pipelines.finding import File, compare, opened
from spacedock.cli.exit_codes import FAILED
from spacedock.cli.output.deliver import Delivery, follow
from spacedock.cli.output.text import say, write
from spacedock.client import Client
from spacedock.errors import BadRequestError, FileUnreadableError, NoWorkerError, RefusedError, SpacedockError
from spacedock.request import PIPELINE_PREFIX

if TYPE_CHECKING:
    from spacedock.pipelines.model import InputType, Pipeline
    from spacedock.pipelines.reading import PipelineFile
    from spacedock.pipelines.run import RunStep
    from spacedock.result import JobResult

_LOOK_SECONDS, _LAST_SECONDS = 0.25, 5.0
_MARKS = {"waiting": "·", "running": "▸", "succeeded": "✓", "failed": "✗", "skipped": "-", "blocked": "·"}


def run(
    file: File,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="NAME=VALUE",
            help="An input: a text, @FILE or a path; may be repeated, also for several files or items.",
        ),
    ] = None,
    again: Annotated[
        str | None,
        typer.Option(
            "--again",
            metavar="RUN",
            help="Take over the answers of an earlier run, where it would ask the same.",
        ),
    ] = None,
    from_step: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="STEP",
            help="Run again from this step on; without --again after the newest run.",
        ),
    ] = None,
    json: options.Json = False,
    output_dir: options.OutputDir = None,
    keep: options.Keep = False,
    detach: Annotated[bool, typer.Option("--detach", help="Print the run's id and do not wait.")] = False,
    redis: options.Redis = None,
) -> None:
    """Run a pipeline, show its steps while they run, and print what it gives."""
    source = opened(file)
    pipeline = source.pipeline()
    asked = _Asked(source, pipeline, values_of(pipeline, inputs or []), again, from_step)
    result = asyncio.run(_run(redis, asked, Delivery(json, output_dir, keep), detach=detach))
    if result is not None and not result.succeeded:
        raise typer.Exit(FAILED)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The run that is asked for: it takes over what the run `again` has, but for what comes from `step`."""

    source: PipelineFile
    pipeline: Pipeline
    values: Mapping[str, Any]
    again: str | None
    step: str | None


async def _run(url: str | None, asked: _Asked, handing: Delivery, *, detach: bool) -> JobResult | None:
    async with Client(url) as client:
        await preflight.check(client, set(), wait=not detach)
        if await client.workers():
            # Whoever may submit need not have the right to ask.
            with suppress(NoWorkerError, RefusedError):
                await compare(client, asked.source, asked.pipeline, [])
        again = asked.again or (await _newest(client, asked) if asked.step else None)
        run_id = await client.submit_pipeline(
            asked.pipeline, asked.values, restart=again, from_step=asked.step
        )
        if detach:
            write(run_id)
            return None
        say(f"run {run_id}" + (f", which takes over what run {again} has" if again else ""))
        async with _steps_shown(client, run_id, asked.pipeline):
            result = await follow(client, run_id, quietly=True)
        if handing.json or not result.succeeded:
            await handing.hand(client, result)
        else:
            told = result.output.model_copy(update={"text": _told(result.output.data)})
            await handing.hand(client, result.model_copy(update={"output": told}))
        return result


async def _newest(client: Client, asked: _Asked) -> str:
    """The newest run of the pipeline. Raises BadRequestError."""
    found = await client.jobs(space=f"{PIPELINE_PREFIX}{asked.pipeline.name}", limit=1)
    if not found:
        raise BadRequestError(
            f"--from {asked.step}: there is no earlier run of pipeline {asked.pipeline.name}"
        )
    return found[0].id


def _told(outputs: Any) -> str:
    """What a run gave, for people: of one output the value alone, of several each under its name."""
    if len(outputs) == 1:
        return _text(next(iter(outputs.values())))
    told = {name: "-" if value is None else _text(value) for name, value in outputs.items()}
    return "\n\n".join(f"{name}:\n{text}" for name, text in told.items())


def _text(value: Any) -> str:
    match value:
        case str() | None:
            return value or ""
        case {"sha256": str(), "name": str(name)}:
            return name
        case list():
            return "\n".join(map(_text, value))
    return json_module.dumps(value, ensure_ascii=False)


@asynccontextmanager
async def _steps_shown(client: Client, run_id: str, pipeline: Pipeline) -> AsyncIterator[None]:
    """Show the steps while the block runs: a tree on a terminal, else a line for each that ends."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    following = _tree(client, run_id, pipeline, console) if console.is_terminal else _lines(client, run_id)
    showing = asyncio.create_task(following)
    try:
        yield
        # The last look shows how it ended.
        with suppress(TimeoutError):
            await asyncio.wait_for(showing, _LAST_SECONDS)
    finally:
        showing.cancel()
        with suppress(asyncio.CancelledError):
            await showing


async def _looks(client: Client, run_id: str) -> AsyncIterator[tuple[RunStep, ...]]:
    """The steps, again and again until the run has ended."""
    # Whoever may not look can still wait for the result.
    with suppress(SpacedockError):
        while True:
            found = await client.pipeline_run(run_id)
            yield found.steps
            if found.state.terminal:
                return
            await asyncio.sleep(_LOOK_SECONDS)


async def _tree(client: Client, run_id: str, pipeline: Pipeline, console: Any) -> None:
    from rich.live import Live

    from spacedock.cli.commands.pipelines.tree import drawn

    with Live(console=console, auto_refresh=False) as live:
        async for steps in _looks(client, run_id):
            live.update(drawn(pipeline, {one.name: _standing(one) for one in steps}), refresh=True)


async def _lines(client: Client, run_id: str) -> None:
    told = set[str]()
    async for steps in _looks(client, run_id):
        for one in steps:
            if one.name not in told and one.state.value not in ("waiting", "running"):
                told.add(one.name)
                say(f"{one.name}: {one.state.value}  {one.told}".rstrip())


def _standing(one: RunStep) -> tuple[str, str]:
    """A step's mark, and how far it is."""
    return _MARKS[one.state.value], f"  {one.told}".rstrip()


def values_of(pipeline: Pipeline, texts: list[str]) -> dict[str, Any]:
    """The inputs that the options give, by their names. Raises BadRequestError and its kinds."""
    given: dict[str, list[str]] = {}
    for text in texts:
        for name, value in options.pairs_of("--input", [text]).items():
            given.setdefault(name, []).append(value)
    return {
        name: _value(pipeline.inputs[name].type, name, some) if name in pipeline.inputs else some[0]
        for name, some in given.items()
    }


def _value(kind: InputType, name: str, some: list[str]) -> Any:
    if kind in ("file", "files", "csv") and not all(some):
        # An empty path is the current folder's.
        raise BadRequestError(f"--input {name} is empty: give it the path of a file")
    if kind == "files":
        paths = [Path(one.removeprefix("@")) for one in some]
        return paths if len(paths) > 1 or not paths[0].is_dir() else paths[0]
    if kind == "list" and (len(some) > 1 or some[0][:1] not in ("@", "[")):
        return some
    if len(some) > 1:
        raise BadRequestError(f"--input {name} is there {len(some)} times, and takes one {kind}")
    [text] = some
    if kind in ("file", "csv"):
        return Path(text.removeprefix("@"))
    content = _read(Path(text[1:])) if text.startswith("@") else text
    if kind == "text":
        return content
    if kind == "list" and not content.lstrip().startswith("["):
        return [line for line in content.splitlines() if line.strip()]
    try:
        return json_module.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"--input {name}: not JSON: {error}") from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise FileUnreadableError(str(path), error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise FileUnreadableError(str(path), "is not UTF-8 text") from error
