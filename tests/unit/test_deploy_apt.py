"""How the scripts in deploy/ install Debian packages. apt-get is a stand-in here, because the test must not
install anything; the real one runs in `make test-bare`.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"
APT_GET = """#!/bin/sh
# As the real one: two at once fail at the lock of the lists.
for word; do case $word in update|install) what=$word ;; esac; done
mkdir "$FOLDER/lock" 2>/dev/null || {
  echo 'E: Could not get lock lists/lock'
  echo locked >>"$FOLDER/said"
  exit 100
}
echo "$what" >>"$FOLDER/said"
[ ! -p "$FOLDER/go" ] || cat "$FOLDER/go" >/dev/null
rmdir "$FOLDER/lock"
[ -z "${FAILS:-}" ] || { echo 'E: Unable to locate package'; exit 100; }
"""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "apt-get").write_text(APT_GET)
    (tmp_path / "apt-get").chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "FOLDER": str(tmp_path), "APT_LOCK": str(tmp_path / "apt.lock")}


def ran(script: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = ["bash", "-euc", f". {DEPLOY}/apt.sh\n{script}"]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)


def said(env: dict[str, str]) -> list[str]:
    return (Path(env["FOLDER"]) / "said").read_text().split()


def test_two_at_once_take_turns_and_fetch_the_lists_once(env: dict[str, str]) -> None:
    done = ran("apt_install a & first=$!; apt_install b; wait $first", env)
    assert (done.returncode, done.stderr) == (0, "")
    assert said(env) == ["update", "install", "install"]


def test_others_locks_are_waited_for(env: dict[str, str]) -> None:
    # Whoever holds it lets go as soon as it was asked for in vain.
    script = """
    mkdir "$FOLDER/lock"
    apt_install a & job=$!
    until [ -e "$FOLDER/said" ]; do :; done
    rmdir "$FOLDER/lock"
    wait $job
    """
    assert ran(script, env).returncode == 0
    assert said(env)[-2:] == ["update", "install"]


def test_what_fails_says_apts_own_words(env: dict[str, str]) -> None:
    done = ran("apt_install nothing", env | {"FAILS": "yes"})
    assert done.returncode == 1
    assert "Unable to locate package" in done.stderr
    assert "failed: apt-get update" in done.stderr


def test_one_that_outlives_its_script_is_waited_for(env: dict[str, str]) -> None:
    os.mkfifo(Path(env["FOLDER"]) / "go")
    script = """
    apt_install a & job=$!
    until [ -e "$FOLDER/said" ]; do :; done
    kill $job; wait $job || true
    (echo > "$FOLDER/go"; rm "$FOLDER/go") &
    apt_wait
    [ ! -d "$FOLDER/lock" ] && echo waited
    """
    assert ran(script, env).stdout == "waited\n"
