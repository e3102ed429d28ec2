"""Runs apps that others wrote as a stranger would: `python -m tests.foreign.try_foreign FOLDER [NAME …]`.

FOLDER holds each app in a folder of its name, with an `app.py`; none of them is kept in this repository.
`apps.yaml` says for each what is right, written before it first ran: `name` (for a package of the Python
index with its version), `app` (the folder, if it is not the name's first word), `gradio`, `requires` (more
packages), `holds` (files that the app misses, by fixture), `args` after `spacedock run`, `exit` (0 if left
out), and regular expressions: `answer` in standard output, `refusal` in standard error, `files` in the names
of the files that were saved, one a line. `why` says why the first run was wrong, or what still is. Each
outcome goes into docs/compatibility.md at once; the first is kept.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any

import yaml
from tests.acceptance.running import FIXTURES, Daemon, Ran
from tests.page import cell, put_row

COLUMNS = ("app", "Gradio", "call", "right is", "first run", "now", "why")
PACKAGE = re.compile(r"(gradio_\w+) ([\d.]+)")
SECONDS = 500
WRONG = "WRONG"
README = "---\nsdk: gradio\nsdk_version: {gradio}\npython_version: '3.11'\napp_file: app.py\n---\n"


def main(folder: str, names: Iterable[str]) -> int:
    """Try the apps; the exit code says whether each came to what is right."""
    rows = yaml.safe_load(Path(__file__).with_name("apps.yaml").read_text())
    wanted = set(names)
    wrong = 0
    with _daemon() as daemon, tempfile.TemporaryDirectory(prefix="foreign-") as scratch:
        for row in rows:
            if wanted and row["name"] not in wanted:
                continue
            outcome, said = _tried(daemon, row, Path(folder), Path(scratch))
            print(f"{row['name']}: {outcome} {said}", flush=True)
            wrong += outcome == WRONG
            first = cell("foreign", row["name"], COLUMNS.index("first run")) or outcome
            cells = [
                row["name"],
                row["gradio"],
                _call(row),
                _right(row),
                first,
                outcome,
                row.get("why", said),
            ]
            put_row("foreign", COLUMNS, cells)
    return 1 if wrong else 0


@contextmanager
def _daemon() -> Iterator[Daemon]:
    folder = Path(tempfile.mkdtemp(prefix="sd-"))
    (folder / "registry.yaml").write_text("spaces: {}\n")
    env = {key: value for key, value in os.environ.items() if not key.startswith("SPACEDOCK_")}
    daemon = Daemon(
        folder,
        {
            **env,
            "SPACEDOCK_REGISTRY": str(folder / "registry.yaml"),
            "SPACEDOCK_LOOK_FOR_MODELS": "false",
            "SPACEDOCK_SMOLLM__HUB": "false",
            "SPACEDOCK_LOG_FORMAT": "json",
            "XDG_STATE_HOME": str(folder / "client-state"),
        },
    )
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.remove()


def _tried(daemon: Daemon, row: dict[str, Any], folder: Path, scratch: Path) -> tuple[str, str]:
    """What it came to, and where that is wrong what was said instead."""
    space, answers = scratch / "space", scratch / "answers"
    for one in (space, answers):
        shutil.rmtree(one, ignore_errors=True)
    space = space / re.sub(r"\W", "-", row["name"])
    _stage(row, folder / row.get("app", row["name"].split()[0]), space)
    arguments = [
        str(one).replace("{fixtures}", str(FIXTURES)).replace("{app}", str(space)) for one in row["args"]
    ]
    command = ["run", *arguments, "--space", space, "--no-fallback", "-d", answers]
    try:
        ran = daemon.spacedock(*command, limit=SECONDS)
    except TimeoutExpired:
        return WRONG, f"nothing after {SECONDS} s"
    saved = "\n".join(sorted(path.name for path in answers.rglob("*") if path.is_file()))
    return _outcome(row, ran, saved)


def _stage(row: dict[str, Any], app: Path, space: Path) -> None:
    """The app as a Space's repository."""
    shutil.copytree(app, space)
    for path, fixture in row.get("holds", {}).items():
        (space / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(FIXTURES / fixture, space / path)
    (space / "README.md").write_text(README.format(**row))
    package = PACKAGE.fullmatch(row["name"])
    packages = [f"{package[1]}=={package[2]}"] if package else []
    (space / "requirements.txt").write_text("\n".join([*packages, *row.get("requires", [])]))


def _outcome(row: dict[str, Any], ran: Ran, saved: str) -> tuple[str, str]:
    found = [("answer", ran.out), ("refusal", ran.err), ("files", saved)]
    missing = [
        what
        for what, said in found
        if what in row and not re.search(row[what], said, re.DOTALL | re.MULTILINE)
    ]
    if ran.code == row.get("exit", 0) and not missing:
        return "rightly refused" if ran.code else "right", ""
    said = " ".join((ran.err.strip() or ran.out.strip()).split())
    return WRONG, f"exit {ran.code}; {_short(said)}; files: {saved or 'none'}".replace("\n", ", ")


def _short(said: str) -> str:
    return said if len(said) <= 300 else f"{said[:120]} … {said[-180:]}"


def _call(row: dict[str, Any]) -> str:
    words = (re.sub(r"\{\w+\}/", "", str(one)) for one in row["args"])
    return (
        " ".join(word if word.startswith("-") else f"`{word}`" for word in words).replace("\n", " ")
        or "no prompt"
    )


def _right(row: dict[str, Any]) -> str:
    said = [f"{what} `{row[what]}`" for what in ("answer", "refusal", "files") if what in row]
    return "; ".join(said) or f"exit code {row['exit']}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
