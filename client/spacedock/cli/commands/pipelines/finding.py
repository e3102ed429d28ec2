"""Pipelines by their names, and whether the hosts know what they ask for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spacedock.client import Client
from spacedock.configuration import default_file

if TYPE_CHECKING:
    from spacedock.pipelines.model import Pipeline
    from spacedock.pipelines.reading import PipelineFile

File = Annotated[str, typer.Argument(metavar="FILE", help="A YAML file, or a name that `list` shows.")]

_SUFFIXES = (".yaml", ".yml")


def folders() -> list[Path]:
    """Where pipelines are found by their names: `pipelines/` here, and beside the configuration file."""
    return [Path("pipelines"), default_file(os.environ, os.getuid()).parent / "pipelines"]


def files() -> list[Path]:
    """The files in these folders."""
    return [
        path
        for folder in folders()
        if folder.is_dir()
        for path in sorted(folder.iterdir())
        if path.suffix in _SUFFIXES
    ]


def opened(named: str) -> PipelineFile:
    """The file of that path or name. Raises BadRequestError and its kinds."""
    from spacedock.pipelines.reading import PipelineFile

    path = Path(named)
    if not path.is_file() and path.name == named:
        path = next((one for one in files() if one.stem == named), path)
    return PipelineFile(path)


async def compare(client: Client, source: PipelineFile, pipeline: Pipeline, notes: list[str]) -> None:
    """Raise PipelineError where the hosts cannot do what it asks for; `notes` get what nobody knows."""
    from spacedock.pipelines.fitting import misfits

    if found := await misfits(client, pipeline, notes):
        raise source.error_of(found)
