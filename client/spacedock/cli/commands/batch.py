"""`spacedock batch`: many prompts, their results as they come, and picking up where it was left."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from spacedock._wire.view.webhooks import check_callback
from spacedock.batching.batch_options import Again, BatchOptions, MaxFailures, Retry
from spacedock.batching.reading import BeginningRead
from spacedock.batching.sources.row import SourceOptions
from spacedock.batching.sources.source import Source, open_source
from spacedock.cli import options
from spacedock.cli.batch_command import BatchCommand, ResultsForm
from spacedock.cli.batch_progress import ProgressStyle
from spacedock.cli.commands.pipelines import finding
from spacedock.cli.output.text import say
from spacedock.client import Client
from spacedock.configuration import models_as
from spacedock.errors import BadRequestError
from spacedock.openai.model_names import ModelNames
from spacedock.openai.registry_names import registry_names

_Names = list[str] | None


@options.spread
def batch(
    source: Annotated[
        str,
        typer.Argument(
            metavar="PROMPTS", help="A .jsonl, .json, .csv, .tsv or .txt file, a directory, or -."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where results go, as JSON lines, or rows of a .csv; -: to standard output.",
        ),
    ] = None,
    prompt: Annotated[str, typer.Option("--prompt", help="The prompt of lines that have none.")] = "",
    template: Annotated[
        str | None,
        typer.Option("--template", metavar="TEXT", help="A prompt made of columns: 'Say: {text}'."),
    ] = None,
    label: Annotated[
        _Names,
        typer.Option("--label", metavar="NAME", help="A column or key to keep, not to send; repeatable."),
    ] = None,
    id_column: Annotated[
        str | None, typer.Option("--id-column", metavar="NAME", help="The column with your own ids of lines.")
    ] = None,
    file_column: Annotated[
        _Names, typer.Option("--file-column", metavar="NAME", help="A column that names files; repeatable.")
    ] = None,
    separator: Annotated[
        str | None, typer.Option("--separator", metavar="CHAR", help="What separates the cells of a table.")
    ] = None,
    glob: Annotated[
        str | None, typer.Option("--glob", metavar="PATTERN", help="Of a directory only such files: '*.png'.")
    ] = None,
    recursive: Annotated[
        bool, typer.Option("--recursive", help="Of a directory also the files in those below it.")
    ] = False,
    space: options.Space = None,
    pipeline: Annotated[
        str | None,
        typer.Option("--pipeline", metavar="FILE", help="Run this pipeline for each line, as its inputs."),
    ] = None,
    asked: options.RequestOptions = options.USUAL,
    allow_degraded: options.AllowDegraded = False,
    output_dir: options.OutputDir = None,
    keep: options.Keep = False,
    callback: options.CallbackOption = None,
    retry: Annotated[
        Retry | None, typer.Option("--retry", help="Send lines with such results again, and replace these.")
    ] = None,
    retry_if: Annotated[
        str | None,
        typer.Option(
            "--retry-if", metavar="KIND,…", help="Send lines again that failed so: timeout,crashed."
        ),
    ] = None,
    in_flight: Annotated[
        int | None,
        typer.Option(
            "--in-flight", min=1, metavar="N", help="Jobs in the queue at once; else as hosts have room."
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, metavar="N", help="Send at most so many lines, then end.")
    ] = None,
    max_failures: Annotated[
        str | None,
        typer.Option(
            "--max-failures", metavar="N|N%", help="Stop once so many lines, or such a share, failed."
        ),
    ] = None,
    skip_invalid: Annotated[
        bool,
        typer.Option(
            "--skip-invalid", help="Go on without invalid lines; they are written to OUT.errors.jsonl."
        ),
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Hand all lines over, print the batch's id, and do not wait.")
    ] = False,
    form: Annotated[
        ResultsForm,
        typer.Option("--format", help="How -o is written; openai: its batches' lines, errors beside them."),
    ] = ResultsForm.SPACEDOCK,
    progress: Annotated[
        ProgressStyle, typer.Option("--progress", help="How to show progress, on standard error.")
    ] = ProgressStyle.AUTO,
    strict_models: Annotated[
        bool, typer.Option("--strict-models", help="Refuse requests of OpenAI's API for unknown models.")
    ] = False,
    dry_run: options.DryRun = False,
    json: Annotated[bool, typer.Option("--json", help="With --dry-run: print JSON lines.")] = False,
    redis: options.Redis = None,
) -> None:
    """Run many prompts. Ctrl-C stops watching only: run the same command again to pick up."""
    if space is not None and pipeline is not None:
        raise BadRequestError("--space and --pipeline: give one; the steps of a pipeline name their Spaces")
    run_options = BatchOptions(
        defaults={"prompt": prompt, "space": space, "batch": True, **asked.fields(), **_pipeline(pipeline)},
        again=Again.of(retry, retry_if),
        in_flight=in_flight,
        limit=limit,
        max_failures=None if max_failures is None else MaxFailures.of(max_failures),
        skip_invalid=skip_invalid,
        allow_degraded=allow_degraded,
        keep=keep,
    )
    if source == "-" and sys.stdin and sys.stdin.isatty():
        say("reading prompts from this terminal, one a line: Ctrl-D ends them")
    rules = SourceOptions(
        labels=tuple(label or ()),
        id_column=id_column,
        file_columns=tuple(file_column or ()),
        template=template,
        separator=separator,
        glob=glob,
        recursive=recursive,
    )
    opened = open_source(source, rules)
    if not opened.is_as_named:
        say(f"{opened.name}: {opened.form}")
    if opened.asks_models:
        opened = opened.with_models(asyncio.run(_models(redis, strict=strict_models)))
    if form is ResultsForm.OPENAI:
        _check_openai(opened, output)
    command = BatchCommand(
        source=source,
        opened=opened,
        # Before the event loop runs: Ctrl-C ends the reading of a pipe at once.
        beginning=None if opened.rereadable else BeginningRead(opened),
        options=run_options,
        output=None if output == Path("-") else output,
        output_dir=output_dir,
        progress=progress,
        form=form,
        callback=None if callback is None else check_callback(callback),
    )
    if dry_run:
        asyncio.run(command.rehearse(redis, json=json))
    elif detach:
        asyncio.run(command.hand_over(redis))
    else:
        asyncio.run(command.run(redis))


def _pipeline(named: str | None) -> dict[str, Any]:
    """The pipeline of that file or name, among a batch's defaults. Raises BadRequestError and its kinds."""
    return {} if named is None else {"pipeline": finding.opened(named).pipeline()}


def _check_openai(opened: Source, output: Path | None) -> None:
    """Raise BadRequestError where results cannot be OpenAI's lines."""
    if not opened.asks_models:
        raise BadRequestError(
            f"--format openai: {opened.name} has no requests of OpenAI's API: leave the option out"
        )
    if output is None or output == Path("-") or not opened.rereadable:
        raise BadRequestError("--format openai: it needs a file to read, and one to write, named by -o")


async def _models(url: str | None, *, strict: bool) -> ModelNames:
    """The models that requests of OpenAI's API may ask for here."""
    async with Client(url) as client:
        return await registry_names(client, models_as(os.environ, os.getuid()), strict=strict)
