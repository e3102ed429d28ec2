"""The `spacedock` command."""

from __future__ import annotations

import gc
import os
import sys
from importlib.metadata import version

from spacedock.cli.exit_codes import INTERRUPTED


def main() -> None:
    """Run the command. The version is told without importing what only the subcommands need."""
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"spacedock {version('hf-spacedock')}\n")
        return
    # Loading leaves no garbage, and looking for it takes a sixth of the start; the command has it on again.
    gc.disable()
    try:
        from spacedock.cli.app import main as command

        command()
    except SystemExit as end:
        if "obstore" in sys.modules and isinstance(end.code, int):
            # Its threads may still let go of a call, which aborts an interpreter that is on its way out.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(end.code)
        raise
    except KeyboardInterrupt:
        # It can come before there is a command to end: importing takes a while.
        sys.exit(INTERRUPTED)
