"""An option is no other option's value, in any command; a value that only begins with a dash is one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from spacedock.cli.app import COMMANDS, app_of
from spacedock.cli.option_values import check_values
from spacedock.errors import BadRequestError
from spacedockd.cli import app as daemon
from spacedockd.cli import main

SPACEDOCK = typer.main.get_command(app_of(*COMMANDS))
SPACEDOCKD = typer.main.get_command(daemon)


def commands(command: Any, *way: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The command and all below it, each with the words that name it."""
    yield way, command
    for name, one in command.commands.items() if isinstance(command, TyperGroup) else ():
        yield from commands(one, *way, name)


def options_of(command: Any) -> Iterator[tuple[str, bool]]:
    """Every spelling of every option, and whether it takes a value."""
    for one in command.params:
        if one.param_type_name == "option":
            for name in (*one.opts, *one.secondary_opts):
                yield name, not one.is_flag


@pytest.mark.parametrize("root", [SPACEDOCK, SPACEDOCKD], ids=["spacedock", "spacedockd"])
def test_every_option_with_a_value_refuses_every_option_of_its_command(root: Any) -> None:
    count = 0
    for way, command in commands(root):
        names = list(options_of(command))
        for option in (name for name, takes_value in names if takes_value):
            for other in ["--help", *(name for name, _ in names)]:
                with pytest.raises(BadRequestError) as caught:
                    check_values([*way, option, other, "more"], root)
                assert str(caught.value).startswith(f"{option} needs a value, and {other} is another option")
                count += 1
    assert count > 10


@pytest.mark.parametrize(
    "words",
    [
        "run|-5 degrees|--space|mood",
        "run|--input|--- hello|--json",
        "run|--input|-5 degrees",
        "run|--input|--json is my prompt",
        "run|hello|-s|mood|--|--space|--json",
        "result|j|--provenance|-|--json",
        "result|j|--provenance=--json",
        "result|j|-d--keep",
        "result|j|--json|--provenance|x.json",
        "jobs|-q|--limit|5",
        "jobs|--label|-x=1",
        "jobs|--limit",
        "spaces|no-such-command|--limit|--json",
        "no-such-command|--limit|--json",
        "--help",
        "",
    ],
)
def test_what_is_no_option_is_a_value(words: str) -> None:
    check_values(words.split("|") if words else [], SPACEDOCK)


@pytest.mark.parametrize("words", ["jobs -qs --json", "result j --provenance --output-dir=x", "jobs -s -q"])
def test_short_options_and_options_with_their_value_are_seen(words: str) -> None:
    with pytest.raises(BadRequestError, match="needs a value"):
        check_values(words.split(), SPACEDOCK)


def test_the_daemons_command_says_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["spacedockd", "--state-dir", "--runtime-dir", "x"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("spacedockd: --state-dir needs a value, and --runtime-dir is")
