"""`spacedock spaces lock` and `bundle`: write down what each Space is, and carry it to another host."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Collection
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from spacedock.cli import options
from spacedock.cli.exit_codes import FAILED
from spacedock.cli.output.text import say
from spacedock.cli.output.units import counted
from spacedock.cli.preflight import asked
from spacedock.errors import BadRequestError, SpacedockError

STDOUT = "-"


def lock(
    names: Annotated[list[str] | None, typer.Argument(help="The Spaces to lock; none: all.")] = None,
    file: Annotated[
        str, typer.Option("--file", metavar="PATH", help="Where to write it; - is standard output.")
    ] = "spacedock.lock",
    start: Annotated[
        bool, typer.Option("--start", help="Start Spaces that have never run, to lock their endpoints too.")
    ] = False,
    redis: options.Redis = None,
) -> None:
    """Write spacedock.lock: each Space's commit, its image's digest, and what its app can do.

    Spaces that are named replace their own rows. Without names, the file is written anew for all Spaces but
    those that Spacedock comes with and nobody has used; one that cannot be locked keeps its row.
    """
    found = asked(redis, lambda client: client.spaces.lock(names or [], start=start, on_progress=say))
    for note in found["notes"]:
        say(note)
    failed, left_out = found["failed"], found["left_out"]
    made = {"version": found["version"], "spaces": found["spaces"]}
    if file == STDOUT:
        typer.echo(text_of(made), nl=False)
    else:
        path = Path(file)
        before = read(path) if names or failed else {}
        write_whole(path, text_of(joined(before, made, only=None if names else failed)))
        say(f"locked {counted(len(found['spaces']), 'Space')} in {path}")
    for name, why in failed.items():
        say(f"not locked: {name}: {why}")
    if left_out:
        say(f"left out: {len(left_out)} that come with Spacedock, not used here; name them to lock them")
    if failed:
        raise typer.Exit(FAILED)


def read(path: Path) -> dict[str, Any]:
    """The lock that is there; an empty one where there is none. Raises BadRequestError."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise BadRequestError(f"{path} is no lock file: {error}. Remove it, or name another.") from error
    if not isinstance(document, dict) or not isinstance(document.get("spaces"), dict):
        raise BadRequestError(f"{path} is no lock file: it has no spaces. Remove it, or name another.")
    return document


def joined(
    before: dict[str, Any], made: dict[str, Any], only: Collection[str] | None = None
) -> dict[str, Any]:
    """The earlier lock, or only these rows of it, with the new rows in it."""
    kept = {name: row for name, row in before.get("spaces", {}).items() if only is None or name in only}
    return {**made, "spaces": {**kept, **made["spaces"]}}


def text_of(document: dict[str, Any]) -> str:
    """The file: always in the same order, one value a line, so that a change reads well."""
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def write_whole(path: Path, text: str) -> None:
    """Write the file so that its name never stands for a part of it."""
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=f".{path.name}-", delete=False, encoding="utf-8"
    ) as part:
        part.write(text)
    try:
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
        os.chmod(part.name, mode)
        os.replace(part.name, path)
    except OSError:
        os.unlink(part.name)
        raise


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
