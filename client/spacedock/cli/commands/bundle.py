"""`spacedock spaces bundle|unbundle`: the daemon's own commands, on the host that has the daemon."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from spacedock.errors import SpacedockError


def bundle(
    out: Annotated[Path, typer.Argument(metavar="OUT.tar", help="The file to write.")],
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Spaces of this host's registry.")],
) -> None:
    """On the daemon's host: write Spaces with images, repositories and caches to a file."""
    _bundling().bundle_command(out, names)


def unbundle(file: Annotated[Path, typer.Argument(metavar="IN.tar", help="A bundle.")]) -> None:
    """On the daemon's host: take the Spaces of a bundle in."""
    _bundling().unbundle_command(file)


def _bundling() -> Any:
    """The daemon's module. By name: the thin client has it only where the daemon is installed too."""
    try:
        return import_module("spacedockd.bundling")
    except ModuleNotFoundError as error:
        raise SpacedockError(
            f"bundles are made and taken in on the host that runs spacedockd; here the package {error.name} "
            "is missing. Run it there, or install the daemon: pip install 'hf-spacedock[daemon,smollm]'"
        ) from error
