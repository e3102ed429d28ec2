"""The daemon's command: its version, and what it says where only the thin client is installed."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version


def test_the_command_says_what_to_install() -> None:
    script = "import sys; sys.modules['structlog'] = None; from spacedockd.entry import main; main()"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert "pip install 'hf-spacedock[daemon,smollm]'" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_the_version_is_told_without_the_daemons_packages() -> None:
    script = "import sys; sys.modules['structlog'] = None; from spacedockd.entry import main; main()"
    command = [sys.executable, "-c", script, "--version"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"spacedockd {version('hf-spacedock')}\n", "")
