"""`spacedock spaces export` and `import`: Spaces shared as a file, and taken in from one."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from spacedock.cli import options
from spacedock.cli.commands.spaces.lock import STDOUT, write_whole
from spacedock.cli.commands.spaces.validate import verdicts
from spacedock.cli.exit_codes import FAILED, USAGE
from spacedock.cli.output.text import printable, say, write, write_json
from spacedock.cli.output.units import counted
from spacedock.cli.preflight import asked
from spacedock.errors import BadRequestError
from spacedock.files import read_payload
from spacedock.replies.collections import ImportReply

_MAX_BYTES = 2**18
_TRIAL_SECONDS = 120.0
_FOLDERS = (Path(__file__).parents[2] / "collections", Path(__file__).parents[5] / "deploy/collections")
"""Where the collections are that Spacedock comes with: in a wheel, and in a checkout."""

_MARKS = {"new": "+", "changed": "~", "same": "="}


def export(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file to write; - is standard output.")],
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME…", help="The Spaces to share.")] = None,
    category: Annotated[
        str | None, typer.Option("--category", metavar="NAME", help="All Spaces of this category.")
    ] = None,
    redis: options.Redis = None,
) -> None:
    """Write Spaces of the registry to a file that others can import.

    Without names and category: all but those that Spacedock comes with. Secrets, and what a host alone
    decides, are left out.
    """
    if file != STDOUT and Path(file).exists():
        raise BadRequestError(f"{file} exists: choose another name, or remove it")
    found = asked(redis, lambda client: client.spaces.export(names or [], category))
    for note in found["notes"]:
        say(note)
    if file == STDOUT:
        typer.echo(found["text"], nl=False)
    else:
        write_whole(Path(file), found["text"])
        say(f"wrote {counted(len(found['names']), 'Space')} to {file}")


def take_in(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="A collection; or one of ours: speech, documents, images, text."),
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Give names that are there other code; their walls stay.")
    ] = False,
    validated: Annotated[
        bool, typer.Option("--validate", help="Then say whether the Spaces can run here.")
    ] = False,
    deep: Annotated[
        bool,
        typer.Option("--deep", help="With --validate: get each image, start it, and make its trial call."),
    ] = False,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    redis: options.Redis = None,
) -> None:
    """Show what a collection of Spaces would change in the registry, ask, and do it: all of it or nothing."""
    path = _found(file)
    text = _text(path)

    def ask(seen: str | None = None) -> ImportReply:
        apply = seen is not None
        return asked(
            redis,
            lambda client: client.spaces.take_in(text, path.name, replace=replace, apply=apply, seen=seen),
        )

    found = ask()
    if not json:
        _show(found, path.name)
    changes = sum(row["state"] != "same" for row in found["spaces"])
    if not (found["refused"] or dry_run) and (yes or not changes or _agreed(changes)):
        found = ask(found["seen"])
        say(
            f"imported {counted(changes, 'Space')}"
            if changes
            else "nothing to import: all of it is here already"
        )
    names = [row["name"] for row in found["spaces"]] if validated and found["applied"] else []
    verdict = verdicts(redis, names, deep, _TRIAL_SECONDS, json) if names else {}
    if json:
        write_json({**found, "validated": verdict} if validated else found)
    if found["refused"]:
        say(f"{path.name} is refused, and nothing was changed")
        raise typer.Exit(USAGE)
    if not (found["applied"] or dry_run):
        say("nothing was changed")
        raise typer.Exit(FAILED)
    if any(row["works"] is not True for row in verdict.values()):
        raise typer.Exit(FAILED)


def _found(file: str) -> Path:
    """The file; where no file has that name, the collection of that name that Spacedock ships."""
    path = Path(file)
    own = [folder / f"{file}.yaml" for folder in _FOLDERS if file.isalpha() and not path.exists()]
    return next((one for one in own if one.is_file()), path)


def _text(path: Path) -> str:
    """The file's text. Raises BadRequestError, FileTooLargeError, FileUnreadableError."""
    data = read_payload(path, _MAX_BYTES).data
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadRequestError(
            f"{path}:{line}: not UTF-8 text (byte {error.start + 1}). Save it as UTF-8"
        ) from error


def _show(found: ImportReply, source: str) -> None:
    for reason in found["refused"]:
        say(f"refused: {reason}")
    for note in found["notes"]:
        say(f"note: {note}")
    count = Counter(row["state"] for row in found["spaces"])
    told = ", ".join(f"{count[state]} {state}" for state in _MARKS if count[state])
    lines = [f"{source}: {counted(len(found['spaces']), 'Space')}: {told}"]
    for row in found["spaces"]:
        lines.append(f"{_MARKS[row['state']]} {printable(row['name'])}")
        lines += [f"    {' '.join(printable(line).split())}" for line in row["fields"]]
    if found["spaces"]:
        write("\n".join(lines))


def _agreed(count: int) -> bool:
    """Whether the user says yes. Raises BadRequestError where nobody can be asked."""
    if not (sys.stdin and sys.stdin.isatty()):
        raise BadRequestError("nobody can be asked here: give --yes to import it, or --dry-run to look")
    return typer.confirm(f"Import {counted(count, 'Space')}? Nothing of it is verified", err=True)
