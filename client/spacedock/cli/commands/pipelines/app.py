"""`spacedock pipeline …`: Spaces as the steps of a larger task."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Any

import typer

from spacedock.cli import options
from spacedock.cli.commands.pipelines.finding import File, compare, files, folders, opened
from spacedock.cli.commands.pipelines.run import run
from spacedock.cli.exit_codes import USAGE
from spacedock.cli.output import table
from spacedock.cli.output.text import say, write, write_json
from spacedock.cli.preflight import asked
from spacedock.errors import BadRequestError, NotConnectedError, NoWorkerError, RefusedError

app = typer.Typer(
    help="Spaces as the steps of a larger task (docs/pipelines.md).",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.command("run", short_help="Run a pipeline and print what it gives.")(run)


@app.command("check", short_help="Say what is wrong with a pipeline.")
def check(file: File, json: options.Json = False, redis: options.Redis = None) -> None:
    """Say what is wrong with a pipeline, by its file and by what the hosts know of its Spaces."""
    from spacedock.pipelines.checking import PipelineError, count_of

    notes: list[str] = []
    problems: list[str] = []
    try:
        source = opened(file)
        pipeline = source.pipeline()
        try:
            asked(redis, lambda client: compare(client, source, pipeline, notes))
        except (NotConnectedError, NoWorkerError, RefusedError) as error:
            notes.append(f"names of Spaces and their endpoints were not checked: {error}")
    except PipelineError as error:
        if not json:
            raise
        problems = error.problems
    for note in notes if not json else ():
        say(note)
    if json:
        write_json({"file": file, "problems": problems, "notes": notes})
    else:
        count = count_of(pipeline)
        write(f"{pipeline.name}: {count} step{'s' if count > 1 else ''}, nothing is wrong")
    if problems:
        raise typer.Exit(USAGE)


@app.command("show", short_help="Draw a pipeline as a tree.")
def show(file: File, json: options.Json = False) -> None:
    """Draw a pipeline as a tree: each step below the last one that it takes from."""
    pipeline = opened(file).pipeline()
    if json:
        write(
            json_module.dumps(
                pipeline.model_dump(mode="json", exclude_defaults=True), indent=2, ensure_ascii=False
            )
        )
        return
    from rich.console import Console

    from spacedock.cli.commands.pipelines.tree import drawn

    console = Console(highlight=False)
    console.print(drawn(pipeline), soft_wrap=not console.is_terminal)


@app.command("list", short_help="List the pipelines that have names here.")
def list_pipelines(json: options.Json = False) -> None:
    """List the pipelines in `pipelines/` here, and in that folder beside the configuration file."""
    rows = [row for path in files() if (row := _row(path))]
    if json:
        write(json_module.dumps(rows, indent=2, ensure_ascii=False))
    elif rows:
        titles = ("name", "steps", "inputs", "file", "description")
        table.show(titles, [tuple(_cell(row[title]) for title in titles) for row in rows])
    else:
        places = " or ".join(map(str, folders()))
        say(f"there is no pipeline in {places}: docs/pipelines.md shows how to write one")


def _row(path: Path) -> dict[str, Any] | None:
    """What is listed of a file; None, and said, where it is no pipeline."""
    from spacedock.pipelines.reading import read_pipeline

    try:
        found = read_pipeline(path)
    except BadRequestError as error:
        say(str(error))
        return None
    steps, inputs = list(found.steps), list(found.inputs)
    return {
        "name": found.name,
        "steps": steps,
        "inputs": inputs,
        "file": str(path),
        "description": found.description,
    }


def _cell(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else " ".join(str(value).split())
