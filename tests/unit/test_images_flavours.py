"""Which Space needs the full flavour of the base image, and what a build is tried on."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from spacedock_worker.images.build.blueprint import Blueprint, draw
from spacedock_worker.images.build.flavours import lacks_full
from spacedock_worker.images.build.repository import read_repository
from spacedock_worker.images.settings import ImageSettings


def drawn(folder: Path, **files: str) -> Blueprint:
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_text(content)
    made = draw("x", read_repository(folder), ImageSettings(), {"spacedock/python:3.11"})
    made.context.tar.close()
    return made


@pytest.mark.parametrize(
    "said",
    [
        "error: command 'gcc' failed: No such file or directory",
        "error: command 'x86_64-linux-gnu-gcc' failed: No such file or directory",
        "ERROR: Failed building wheel for webrtcvad",
        "ERROR: Failed to build installable wheels for some pyproject.toml based projects (webrtcvad)",
        "error: subprocess-exited-with-error",
        "/bin/sh: 1: cmake: not found",
        "bash: line 1: g++: command not found",
        "FileNotFoundError: [Errno 2] No such file or directory: 'node'",
        "FileNotFoundError: [Errno 2] No such file or directory: 'convert'",
        "ERROR: Unknown compiler(s): [['cc'], ['gcc'], ['clang']]",
        "CMake Error: CMAKE_CXX_COMPILER not set, after EnableLanguage",
        "RuntimeError: Failed to find C compiler. Please specify via CC environment variable.",
        "ModuleNotFoundError: No module named 'datasets'",
        "ModuleNotFoundError: No module named 'google'",
        "TypeError: Descriptors cannot be created directly.",
        "TypeError: Descriptors cannot not be created directly.",
    ],
)
def test_what_the_slim_base_lacks_is_told_from_the_words(said: str) -> None:
    assert lacks_full(f"the app ended with exit code 1. Its last words:\n{said}\n")


@pytest.mark.parametrize(
    "said",
    [
        "ModuleNotFoundError: No module named 'torch'",
        "ModuleNotFoundError: No module named 'datasets_mine'",
        "ModuleNotFoundError: No module named 'google.generativeai'",
        "ERROR: No matching distribution found for numpy==99",
        "FileNotFoundError: [Errno 2] No such file or directory: 'model.bin'",
        "/bin/sh: 1: ffprobe2: not found",
        "gradio.exceptions.Error: Failed to build an index of node names",
        "",
    ],
)
def test_other_failures_are_not_tried_again(said: str) -> None:
    assert not lacks_full(said)


@pytest.mark.parametrize(
    ("code", "asks"),
    [
        ("import shutil\nshutil.which('gcc')", True),
        ("import subprocess\nsubprocess.run(['cmake', '-B', 'build'])", True),
        ("import os\nos.system('cd x && cmake -B build')", True),
        ("import importlib.util as u\nu.find_spec(n) for n in ['datasets']", True),
        ("from torch.utils.cpp_extension import load", True),
        ("model = torch.compile(model)", True),
        ("import datasets", False),
        ("tabs = ['datasets', 'node']", False),
        ("import subprocess\nsubprocess.run(['ffmpeg', '-i', name])", False),
        ("node = 'a node in a graph'  # which node", False),
    ],
)
def test_code_that_looks_for_a_tool_asks_for_the_full_base(tmp_path: Path, code: str, asks: bool) -> None:
    made = drawn(tmp_path, app_py=code)
    assert made.asks is asks
    assert [one.flavour for one in made.tried("auto")] == (["full"] if asks else ["slim", "full"])


def test_a_script_that_compiles_asks_for_the_full_base(tmp_path: Path) -> None:
    assert drawn(tmp_path, app_py="", setup_sh="cd build && cmake .. && make\n").asks


def test_the_entry_decides_the_flavour(tmp_path: Path) -> None:
    made = drawn(tmp_path, app_py="import shutil\nshutil.which('gcc')")
    assert [one.flavour for one in made.tried("slim")] == ["slim"]
    assert [one.flavour for one in made.tried("full")] == ["full"]


def test_a_space_with_its_own_dockerfile_has_one_flavour(tmp_path: Path) -> None:
    made = drawn(tmp_path, Dockerfile="FROM x", README_md="---\nsdk: docker\n---\n")
    assert made.tried("full") == (made,)
    assert made.flavour == ""


def test_both_flavours_are_one_context_with_two_dockerfiles(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("")
    made = draw("x", read_repository(tmp_path), ImageSettings(), ())
    slim, full = made.tried("auto")
    assert full.tag == f"{slim.tag}-full"
    with made.context.tar as tar, tarfile.open(fileobj=tar) as archive:
        texts = {
            one.flavour: archive.extractfile(one.dockerfile).read().decode()  # type: ignore[union-attr]
            for one in (slim, full)
        }
    assert "build-essential" not in texts["slim"]
    assert "datasets" not in texts["slim"]
    for part in ("build-essential", "cmake", "nodejs", "python3-dev", "datasets 'protobuf<4'"):
        assert part in texts["full"]
    # Slim's layer is shared, and what Gradio needs goes before what the Hub happens to have.
    order = [texts["full"].index(part) for part in ("git-lfs", "build-essential", "'protobuf<4'", "gradio")]
    assert order == sorted(order)


def test_of_what_an_app_says_only_the_end_is_read() -> None:
    missing = "ModuleNotFoundError: No module named 'datasets'"
    assert lacks_full("x" * 10**6 + missing)
    assert not lacks_full(missing + "x" * 10**6)
