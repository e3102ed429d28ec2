"""The pipelines of docs/pipelines.md, as they are there, through real Spaces."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.running import FIXTURES, SPACES, Daemon

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples/pipelines"


pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def in_full(request: pytest.FixtureRequest) -> None:
    """For what starts Spaces that few other tests use."""
    if not request.config.getoption("--all-versions"):
        pytest.skip("it starts several Spaces: --all-versions")


@pytest.fixture(scope="module")
def translating(daemon: Daemon) -> Daemon:
    """The daemon, with the Space that the examples call translate."""
    fields = {"category": "translation", "input_type": "text", "output_type": "text"}
    daemon.declare("translate", {"repository": str(SPACES / "g-translate"), **fields})
    return daemon


def given(daemon: Daemon, example: str, *inputs: str) -> dict[str, Any]:
    """What a run of an example gives."""
    options = [word for text in inputs for word in ("--input", text)]
    ran = daemon.spacedock("pipeline", "run", EXAMPLES / f"{example}.yaml", "--json", *options)
    assert ran.code == 0, ran.err
    found: dict[str, Any] = json.loads(ran.out)["output"]["data"]
    return found


@pytest.mark.usefixtures("in_full")
def test_a_recording_is_transcribed_summarised_and_translated(translating: Daemon, tmp_path: Path) -> None:
    recording = f"recording={FIXTURES / 'hello.wav'}"
    assert given(translating, "meeting", recording, "language=German") == {
        "transcript": "hello world one two three",
        "summary": "hallo welt one two three",
    }
    # The app of the last step is known now.
    path = tmp_path / "p.yaml"
    path.write_text(
        "name: p\nsteps:\n  a:\n    space: translate\n    prompt: x\n    inputs: {langauge: German}\n"
    )
    ran = translating.spacedock("pipeline", "check", path)
    assert ran.code == 2
    assert f"{path}:4:5: steps.a.space: " in ran.err
    assert "it has no input 'langauge'" in ran.err


@pytest.mark.usefixtures("in_full")
def test_a_pipeline_runs_another_for_each_recording(translating: Daemon) -> None:
    recordings = [f"recordings={FIXTURES / 'hello.wav'}"] * 2
    assert given(translating, "archive", *recordings) == {"summaries": ["hallo welt one two three"] * 2}


def test_rows_of_a_table_are_a_step_each(daemon: Daemon, tmp_path: Path) -> None:
    table = tmp_path / "reviews.csv"
    table.write_text("product,stars,review\nChair,1,I hate it\nTable,5,I love it\nLamp,2,It is awful\n")
    found = given(daemon, "reviews", f"table={table}")
    assert ["negative" in feeling for feeling in found["feelings"]] == [True, True]
    assert "negative" in found["summary"]


def test_the_script_of_the_page_runs_as_written(daemon: Daemon) -> None:
    page = (ROOT / "docs/pipelines.md").read_text(encoding="utf-8")
    script = page.split("```python\n")[1].split("```")[0]
    env = {**daemon.env, "SPACEDOCK_REDIS_URL": daemon.url}
    ran = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "positive" in ran.stdout
    assert "negative" in ran.stdout


@pytest.mark.usefixtures("in_full")
def test_photos_are_read_and_classified_side_by_side(daemon: Daemon) -> None:
    found = given(daemon, "photos", f"photos={FIXTURES / 'sign.png'}", f"photos={FIXTURES / 'dot.png'}")
    assert [words.upper().replace("\n", " ") for words in found["words"]] == ["SPACE DOCK 42", ""]
    assert len(found["moods"]) == 1


STAMP = """\
import os, pathlib, time
pathlib.Path(os.environ["SPACEDOCK_OUTPUT_FILE"]).write_text(f"{time.time_ns()}")
"""
"""A program whose answer tells one call from another."""


@pytest.mark.usefixtures("in_full")
def test_a_kept_answer_calls_no_space_and_another_call_does(daemon: Daemon, tmp_path: Path) -> None:
    space, page, pipeline = tmp_path / "stamp", tmp_path / "page.txt", tmp_path / "p.yaml"
    shutil.copytree(SPACES / "command-count", space)
    (space / "main.py").write_text(STAMP)
    kinds = {"category": "programs", "input_type": "file", "output_type": "text"}
    daemon.declare("stamp", {"repository": str(space), "adapter": "command", **kinds})
    pipeline.write_text(
        "name: stamps\ninputs: {page: file}\nsteps:\n"
        "  stamp: {space: stamp, files: '${{ inputs.page }}', cache: true, fallback: none}\n"
    )

    def stamped() -> str:
        ran = daemon.spacedock("pipeline", "run", pipeline, "--json", "--input", f"page={page}")
        assert ran.code == 0, ran.err
        return str(ran.result["output"]["data"]["stamp"])

    page.write_text("one")
    first = stamped()
    assert stamped() == first
    page.write_text("two")
    second = stamped()
    assert second != first
    page.write_text("one")
    assert stamped() == first
    # Another image.
    (space / "main.py").write_text(STAMP + "# mended\n")
    third = stamped()
    assert third not in (first, second)
    assert stamped() == third
