"""The entry of the `spacedockd` command: tells the version, and what to install where only the client is."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import version

from spacedock_worker import light_imports


def main() -> None:
    """Run the daemon's command, or exit with 2 and a message where its packages are missing."""
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"spacedockd {version('hf-spacedock')}\n")
        return
    try:
        with light_imports():
            cli = import_module("spacedockd.cli")
        cli.main()
    except ModuleNotFoundError as error:
        sys.stderr.write(
            f"spacedockd: the package {error.name} is missing, because only the client is installed. "
            "Install the daemon: pip install 'hf-spacedock[daemon,smollm]'\n"
        )
        sys.exit(2)
