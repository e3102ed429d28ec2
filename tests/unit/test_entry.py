"""The daemon's command where only the thin client is installed."""

from __future__ import annotations

import subprocess
import sys


def test_the_command_says_what_to_install() -> None:
    script = "import sys; sys.modules['structlog'] = None; from spacedockd.entry import main; main()"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert "pip install 'hf-spacedock[daemon,smollm]'" in ran.stderr
    assert "Traceback" not in ran.stderr
