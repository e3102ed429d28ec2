"""The `spacedock` command."""

from __future__ import annotations

import sys
from importlib.metadata import version


def main() -> None:
    """Run the command. The version is told without importing what only the subcommands need."""
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"spacedock {version('hf-spacedock')}\n")
        return
    from spacedock.cli.app import main as command

    command()
