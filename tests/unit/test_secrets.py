"""Secrets: found where the entry says, never shown, and a missing one told by name and place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spacedock.result import ErrorKind, Stage
from spacedock_worker.adapters.faults import too_complex
from spacedock_worker.containers.docker.log_tail import masked
from spacedock_worker.errors import HostBusyError, StepError, TryAgainError
from spacedock_worker.jobs.secrets import Secrets, unquoted
from spacedock_worker.registry.entry import SpaceEntry

ENV = {"MINE": "from the environment", "OTHER": "nobody's business"}


def entry(secrets: Any, name: str = "mood") -> SpaceEntry:
    return SpaceEntry.model_validate({"id": name, "secrets": secrets})


async def test_a_list_of_names_comes_from_the_spaces_folder(tmp_path: Path) -> None:
    (tmp_path / "user/mood").mkdir(parents=True)
    (tmp_path / "user/mood/TOKEN").write_text("a token\n")
    assert await Secrets(tmp_path, ENV).of(entry(["TOKEN"], "user/mood")) == {"TOKEN": "a token"}


async def test_files_variables_and_credentials_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from a file")
    (tmp_path / "mood.cred").write_text("from systemd\n")
    secrets = Secrets(None, {**ENV, "CREDENTIALS_DIRECTORY": str(tmp_path)})
    sources = {"A": {"file": str(tmp_path / "key")}, "B": {"env": "MINE"}, "C": {"credential": "mood.cred"}}
    found = await secrets.of(entry(sources))
    assert found == {"A": "from a file", "B": "from the environment", "C": "from systemd"}


async def test_without_secrets_nothing_is_read() -> None:
    assert await Secrets(None, ENV).of(entry({})) == {}


@pytest.mark.parametrize(
    ("source", "where"),
    [
        ({}, "there is no file {}/mood/TOKEN"),
        ({"file": "{}/no"}, "there is no file {}/no"),
        ({"file": "{}"}, "{} cannot be read"),
        ({"file": "{}/empty"}, "is empty, longer than 64 KB, or has a zero byte"),
        ({"file": "{}/long"}, "is empty, longer than 64 KB, or has a zero byte"),
        ({"file": "{}/binary"}, "it is no text in UTF-8"),
        ({"env": "NO"}, "the daemon's environment has no NO"),
        ({"credential": "no"}, "systemd has handed over no credentials"),
    ],
)
async def test_a_missing_secret_is_told_by_name_and_place(
    tmp_path: Path, source: dict[str, str], where: str
) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "long").write_text("x" * 70_000)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    sources = {"TOKEN": {key: value.format(tmp_path) for key, value in source.items()}}
    with pytest.raises(StepError, match="the secret TOKEN of mood is missing") as caught:
        await Secrets(tmp_path, ENV).of(entry(sources))
    assert (caught.value.stage, caught.value.kind, caught.value.ours) == (
        Stage.START,
        ErrorKind.START_FAILED,
        True,
    )
    assert where.format(tmp_path) in str(caught.value)
    assert "xxx" not in str(caught.value)


async def test_a_spaces_name_does_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="no folder of secrets"):
        await Secrets(tmp_path, ENV).of(entry(["TOKEN"], "../mood"))


@pytest.mark.parametrize(
    "secrets",
    [["A-B"], {"A": {"file": "relative"}}, {"A": {"env": "A", "file": "/a"}}, {"A": {"credential": "../a"}}],
)
def test_a_source_that_cannot_be_meant_is_refused(secrets: Any) -> None:
    with pytest.raises(ValueError, match="secrets"):
        entry(secrets)


def test_values_are_taken_out_of_an_apps_words() -> None:
    assert masked("abc and abcdef", {"A": "abc", "B": "abcdef"}) == "*** and ***"


BUSY = HostBusyError(Stage.START, ErrorKind.START_FAILED, "no room for abc", host=True)


@pytest.mark.parametrize("error", [BUSY, TryAgainError(BUSY), too_complex("holds abc")])
def test_values_are_taken_out_of_an_error_that_stays_what_it_is(error: StepError) -> None:
    with pytest.raises(type(error), match=r"\*\*\*") as caught, unquoted({"A": "abc"}):
        raise error
    assert "abc" not in str(caught.value)
    clean, kept = caught.value, ("stage", "kind", "ours", "host")
    assert [getattr(clean, name) for name in kept] == [getattr(error, name) for name in kept]
