"""The log tells where an exception was and of which type, never what it said or had at hand."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import asyncio, gc, logging, sys, structlog
from spacedock_worker.logs import configure
configure(sys.argv[1], "debug")
log = structlog.get_logger()

def handle(prompt):
    try:
        {}[prompt]
    except KeyError as error:
        raise ExceptionGroup(prompt, [ValueError(prompt)]) from error

async def forgotten():
    async def fails():
        handle("tell-nobody")
    task = asyncio.ensure_future(fails())
    await asyncio.wait([task])
    del task
    gc.collect()

try:
    handle("tell-nobody")
except Exception:
    log.exception("job.fault", job_id="1")
    logging.getLogger("other").exception("it failed")
asyncio.run(forgotten())
"""


@pytest.mark.parametrize("log_format", ["json", "pretty"])
def test_an_exceptions_words_and_variables_are_not_logged(log_format: str) -> None:
    command = [sys.executable, "-c", SCRIPT, log_format]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "tell-nobody" not in ran.stderr + ran.stdout
    for told in ("job.fault", "it failed", "never retrieved", "ExceptionGroup: ", "ValueError: ", "KeyError"):
        assert told in ran.stderr
    assert "<string>:9 handle" in ran.stderr


LOST = """
import os, structlog
from spacedock_worker.logs import configure
configure("json", "info")
for _ in range(1000):
    structlog.get_logger().info("lost", text="x" * 100)
print("went on", flush=True)
# What is still in the stream's buffer cannot be written either.
os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
"""


def test_a_log_whose_disk_is_full_stops_nothing() -> None:
    with open("/dev/full", "w") as full:
        ran = subprocess.run([sys.executable, "-c", LOST], stdout=subprocess.PIPE, stderr=full, check=True)
    assert ran.stdout == b"went on\n"
