"""schemathesis asks what the OpenAPI document lets it ask, and more: no 5xx, and every answer as documented.

`--all-versions` asks ten thousand times and longer; without it, so much as takes some seconds.
"""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import pytest
from tests.door import opened
from tests.integration.http.answers import controls
from tests.integration.queue.workers import advancing

EXAMPLES = 450
"""Cases for each operation and phase, where there is time for them."""


@pytest.mark.timeout(1800)
async def test_every_answer_is_as_the_document_says(
    redis_url: str, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    thorough = pytestconfig.getoption("--all-versions")
    async with (
        opened(redis_url, tmp_path, limits={"rate": 100_000}) as door,
        advancing(redis_url, controls=controls),
    ):
        process = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("st"),
            "run",
            f"{door.url}/openapi.json",
            f"--header=Authorization: Bearer {door.token}",
            # Not every job that a schema allows is one: its files have to be stored. And a number may come as
            # a text. DELETE cancels a job, which stays.
            "--exclude-checks=positive_data_acceptance,negative_data_rejection,use_after_free",
            # It has no end of its own.
            "--exclude-path=/events",
            # What the schemas' bounds suggest; and what chance does.
            f"--phases={'coverage,fuzzing,stateful' if thorough else 'coverage'}",
            f"--max-examples={EXAMPLES}",
            "--mode=all",
            "--seed=7",
            "--request-timeout=20",
            "--continue-on-failure",
            "--no-color",
            "--generation-database=none",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=tmp_path,
        )
        said, _ = await process.communicate()
    text = said.decode()
    assert process.returncode == 0, text
    generated = re.search(r"(\d+) generated", text)
    assert generated is not None
    assert int(generated[1]) >= (10_000 if thorough else 500), text
