"""The seed, to the letter: the registry, the command lines and the scripts of docs/seed.md."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from tests.acceptance.conftest import StartDaemon
from tests.acceptance.running import FIXTURES, SPACES, Daemon, Ran
from tests.hub import HubDouble
from tests.served import serving

PAGE = (Path(__file__).parent.parent.parent / "docs/seed.md").read_text()
IMAGE = "registry.hf.space/openai-clip:latest"

REMOVE = "rm registry.yaml"
QUESTION = 'spacedock "Complex analysis" --performance-first --hf-space document-qa'
HEAVY = 'spacedock "Specialized task" --tier heavy'
SIZE = 'spacedock "What size is it?" --hf-space clip-analysis'


def blocks(language: str) -> list[str]:
    """The page's blocks of code."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


LINES = [line for block in blocks("bash") for line in block.splitlines()]
SCRIPTS = blocks("python")
(SEEDS_REGISTRY,) = blocks("yaml")
HUB = (
    ("ada/words-of-a-picture", "Image Captioning", "Describe an image, an analysis in words"),
    ("bob/listen", "Speech Recognition", "Transcribe speech and audio"),
    ("cy/write-code", "Code Generation", "Generate code from a description"),
)


@pytest.fixture(scope="module")
def clip(daemon: Daemon) -> Iterator[str]:
    """The image that the seed's entry names: a Space that answers questions about pictures."""
    ran = daemon.spacedock("run", "size?", "--space", SPACES / "g-vqa", "-f", FIXTURES / "dot.png", "--json")
    subprocess.run(["docker", "tag", ran.result["answered_by"]["image"], IMAGE], check=True)
    yield IMAGE
    subprocess.run(["docker", "rmi", IMAGE], check=True, capture_output=True)


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    double = HubDouble()
    for hub_id, task, what in HUB:
        said = {
            "ai_category": task,
            "ai_short_description": what,
            "sdk": "gradio",
            "tags": ["gradio"],
            "likes": 5,
        }
        double.add(hub_id, "a" * 40, {"README.md": f"---\nsdk: gradio\n---\n{what}\n"}, **said)
    with serving(double.handle) as address:
        yield f"http://{address}"


@pytest.fixture(scope="module")
def seeded(clip: str, hub: str, make_daemon: StartDaemon) -> Daemon:
    """A daemon whose registry is the seed's example, unchanged."""
    made = make_daemon(start=False, images__hub_endpoint=hub, images__pull_hub_images="false")
    (made.folder / "registry.yaml").write_text(SEEDS_REGISTRY)
    for name in ("sign.png", "dot.png"):
        shutil.copy(FIXTURES / name, made.folder)
    # The small model that the daemon runs anyway is its Tier 1 too, for short answers.
    socket = str(made.folder / "run" / "model.sock")
    tier_1 = {"name": "smol", "base_url": "http://spacedock/v1", "socket": socket, "max_tokens": 16}
    config = made.folder / "spacedockd.yaml"
    config.write_text(yaml.safe_dump({"models": [tier_1]}))
    made.env["SPACEDOCK_CONFIG"] = str(config)
    made.start()
    return made


def in_shell(daemon: Daemon, line: str) -> Ran:
    """Run a line of the page as it stands, where the files are that it names."""
    env = {**daemon.env, "SPACEDOCK_REDIS_URL": daemon.url}
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    ran = subprocess.run(
        line, shell=True, env=env, cwd=daemon.folder, capture_output=True, text=True, timeout=280, check=False
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr)


def by_the_space(ran: Ran) -> None:
    assert ran.out == "It is 640 by 240 pixels.\n"
    assert "answered by clip-analysis (heavy)" in ran.err


def by_a_model_after_the_space(ran: Ran) -> None:
    assert ran.out.strip()
    assert "(fast) in " in ran.err
    assert "degraded" in ran.err
    assert "clip-analysis: bad_input" in ran.err
    assert "image needs a file" in ran.err


def each_file(ran: Ran) -> None:
    assert ran.out == (
        "==> sign.png <==\nIt is 640 by 240 pixels.\n==> dot.png <==\nIt is 32 by 24 pixels.\n"
    )


def the_plan(ran: Ran) -> None:
    assert "1. clip-analysis (Space, heavy): the Space that was asked for" in ran.out
    assert f"image       here, {IMAGE}" in ran.out
    assert "limits      2 GiB of memory" in ran.out
    assert "2. if that fails: smol" in ran.out
    assert "nothing was run" in ran.err


def the_list(ran: Ran) -> None:
    assert "clip-analysis" in ran.out
    assert "CLIP-based image analysis" in ran.out


def what_was_freed(ran: Ran) -> None:
    assert re.search(r"^freed \S+ \w+$", ran.out, re.MULTILINE)


def answered(ran: Ran) -> None:
    assert ran.out.strip()
    assert "answered by " in ran.err


def the_tiers(ran: Ran) -> None:
    assert "Tier 2 (heavy): Spaces" in ran.out
    assert re.search(r"Spaces +1 in the registry", ran.out)
    assert re.search(r"Tier 1 \(fast\): language models\n +smol ", ran.out)
    assert "System default (SmolLM)" in ran.out


def discovered(*names: str) -> Callable[[Ran], None]:
    """The Hub's Space is among those that are listed, and the registry's."""

    def check(ran: Ran) -> None:
        assert set(names) <= {line.split()[0] for line in ran.out.splitlines()}

    return check


def it_is_added(ran: Ran) -> None:
    assert "added custom-space (specialized)" in ran.err


(ADD,) = (line for line in LINES if line.startswith("spacedock spaces add custom-space "))

EXPECTED: dict[str, Callable[[Ran], None]] = {
    'spacedock "Analyze this image" --hf-space clip-analysis': by_a_model_after_the_space,
    f"{SIZE} --file sign.png": by_the_space,
    f"{SIZE} --batch-mode --file sign.png --file dot.png": each_file,
    'spacedock "Process multiple files" --batch-mode': answered,
    'spacedock "Process sensitive data" --batch-mode --privacy-mode': answered,
    "spacedock --list-spaces": the_list,
    "spacedock --cleanup-cache": what_was_freed,
    "spacedock --tier-status": the_tiers,
    "spacedock --discover-spaces image_processing": discovered("ada/words-of-a-picture", "clip-analysis"),
    "spacedock --discover-spaces audio_processing": discovered("bob/listen"),
    "spacedock --discover-spaces specialized": discovered("cy/write-code"),
    'spacedock "Debug task" --hf-space clip-analysis --verbose --dry-run': the_plan,
    # After those that may go to any Space of the registry: its image cannot be had.
    ADD: it_is_added,
}


def test_every_command_line_of_the_page_is_tried() -> None:
    assert set(LINES) == {*EXPECTED, REMOVE, QUESTION, HEAVY}


@pytest.mark.parametrize("line", EXPECTED)
def test_a_command_line_of_the_seed_does_what_the_page_says(seeded: Daemon, line: str) -> None:
    ran = in_shell(seeded, line)
    assert ran.code == 0, ran.err
    EXPECTED[line](ran)


RUNNER = """
import ast, asyncio, inspect, sys
code = compile(sys.argv[1], "docs/seed.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
made = eval(code)
if inspect.iscoroutine(made):
    asyncio.run(made)
"""
"""Runs a script as `python -m asyncio` would: `await` stands at its top."""

PRINTED = {
    "await validate_space(": r"\['clip-analysis', 'ada/words-of-a-picture'\] True\n",
    'result = await execute_space("What': r"It is 640 by 240 pixels\. clip-analysis\n",
    'add("custom-space", space_config)': "",
    "except SpacedockError as error:": r"SmolLM.* True\n",
    'Path("note.txt")': r"It is 640 by 240 pixels\. fast\n",
    "await get_recommended_spaces(": r"clip-analysis \[.*\]\n",
    "await cleanup_spaces_cache()": r"\d+\n",
}


def test_every_script_of_the_page_is_tried() -> None:
    assert len([script for script in SCRIPTS if any(part in script for part in PRINTED)]) == len(SCRIPTS)


@pytest.mark.parametrize("part", PRINTED)
def test_a_script_of_the_page_prints_what_it_says(seeded: Daemon, part: str) -> None:
    (script,) = (script for script in SCRIPTS if part in script)
    env = {**seeded.env, "SPACEDOCK_REDIS_URL": seeded.url}
    command = [sys.executable, "-c", RUNNER, script]
    ran = subprocess.run(
        command, env=env, cwd=seeded.folder, capture_output=True, text=True, timeout=280, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert re.fullmatch(PRINTED[part], ran.stdout), ran.stdout


def test_verbose_tells_the_plan_then_every_event_and_where_the_time_went(seeded: Daemon) -> None:
    line = f"{SIZE} --file sign.png --verbose"
    ran = in_shell(seeded, line)
    by_the_space(ran)
    plan, *events = ran.err.split("\n[")
    assert plan.startswith("1. clip-analysis (Space, heavy)") or "\n1. clip-analysis" in plan
    assert any(re.match(r" +\d+\.\d\d s\] call: clip-analysis: asking", event) for event in events)
    spent = r"^times: queued \S+ s, waited \S+ s, prepare \S+ s, start \S+ s, call \S+ s$"
    assert re.search(spent, ran.err, re.MULTILINE)


def test_each_file_of_a_batch_has_its_line_of_json_and_its_own_files(daemon: Daemon, tmp_path: Path) -> None:
    files = [tmp_path / "first.txt", tmp_path / "second.txt"]
    for file in files:
        file.write_text(file.stem)
    given = [part for file in files for part in ("--file", file)]
    out = tmp_path / "out"
    ran = daemon.spacedock("", *given, "--batch-mode", "--space", "echo-file", "--json", "-d", out)
    assert ran.code == 0, ran.err
    rows = [json.loads(line) for line in ran.out.splitlines()]
    assert [row["file"] for row in rows] == [str(file) for file in files]
    for file, row in zip(files, rows, strict=True):
        (ref,) = row["output"]["files"]
        assert (out / f"{file.stem}-{ref['name']}").stat().st_size == ref["size"]


def test_files_of_a_batch_that_fail_end_the_command_with_1_after_all_others(
    seeded: Daemon, tmp_path: Path
) -> None:
    (seeded.folder / "words.txt").write_text("no picture")
    ran = in_shell(seeded, f"{SIZE} --batch-mode --no-fallback --file words.txt --file dot.png")
    assert ran.code == 1
    assert "==> words.txt <==" in ran.out
    assert ran.out.endswith("==> dot.png <==\nIt is 32 by 24 pixels.\n")


def test_a_batch_can_be_left_to_itself(seeded: Daemon) -> None:
    ran = in_shell(seeded, f"{SIZE} --batch-mode --detach --file sign.png --file dot.png")
    first, second = ran.out.split()
    assert seeded.spacedock("result", first).out == "It is 640 by 240 pixels.\n"
    assert seeded.spacedock("result", second).out == "It is 32 by 24 pixels.\n"


def test_a_registry_that_is_removed_is_written_anew_and_what_cannot_be_had_falls_back(seeded: Daemon) -> None:
    assert in_shell(seeded, REMOVE).code == 0
    listed = in_shell(seeded, "spacedock --list-spaces")
    assert listed.code == 0, listed.err
    names = {
        name for row in re.findall(r"^\| `\w+` \| (.*) \|$", PAGE, re.MULTILINE) for name in row.split(", ")
    }
    assert len(names) == 12
    assert {name.strip("`") for name in names} <= set(re.findall(r"^ ?(\S+)", listed.out, re.MULTILINE))
    assert "document-qa: repository_unavailable" in fell_back(seeded, QUESTION).err
    assert "code-generation: repository_unavailable" in fell_back(seeded, f"{HEAVY} --verbose").err


def fell_back(daemon: Daemon, line: str) -> Ran:
    ran = in_shell(daemon, line)
    assert ran.code == 0, ran.err
    assert ran.out.strip()
    assert "(fast) in " in ran.err
    return ran
