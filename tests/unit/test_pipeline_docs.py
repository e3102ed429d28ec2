"""docs/pipelines.md: its examples are the files in examples/pipelines, and each can be read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from spacedock.pipelines.model import Step
from spacedock.pipelines.reading import read_pipeline

TOP = Path(__file__).parents[2]
PAGE = (TOP / "docs/pipelines.md").read_text(encoding="utf-8")
EXAMPLES = sorted((TOP / "examples/pipelines").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_each_example_is_on_the_page_as_it_is(path: Path) -> None:
    assert read_pipeline(path).name == path.stem
    assert f"```yaml\n# examples/pipelines/{path.name}\n{path.read_text(encoding='utf-8')}```" in PAGE


def test_every_key_of_a_step_is_on_the_page() -> None:
    told = set(re.findall(r"^\| `(\w+)`", PAGE, re.MULTILINE)) | {"space", "category", "tier", "pipeline"}
    assert Step.model_fields.keys() <= told
