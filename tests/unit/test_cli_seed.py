"""The seed's command lines, and words that are neither a subcommand nor a prompt."""

from __future__ import annotations

import pytest

from spacedock.cli.app import COMMANDS, reader
from spacedock.cli.legacy_syntax import translated
from spacedock.errors import BadRequestError


def translate(*args: str) -> list[str]:
    return translated(args, tuple(COMMANDS), reader)


@pytest.mark.parametrize(
    "args",
    [
        ("Analyze this image", "--hf-space", "clip-analysis"),
        ("Process multiple files", "--batch-mode"),
        ("Specialized task", "--tier", "heavy"),
        ("Process sensitive data", "--batch-mode", "--privacy-mode"),
        ("Complex analysis", "--performance-first", "--hf-space", "document-qa"),
        ("Debug task", "--hf-space", "clip-analysis", "--verbose", "--dry-run"),
        ("Hello", "--hf-space", "chat"),
        ("Hello!",),
        ("你好",),
        ("",),
        ("", "--file", "a.png"),
        ("--hf-space", "batch", "What is this?"),
        ("--file", "a.png", "--json"),
        ("--", "-5 degrees, is that cold?"),
        ("what is this", "--help"),
        ("--no-such-option",),
        ("one prompt", "--no-such-option"),
    ],
)
def test_what_is_no_subcommand_is_a_prompt_to_run(args: tuple[str, ...]) -> None:
    assert translate(*args) == ["run", *args]


@pytest.mark.parametrize(
    ("args", "subcommand"),
    [
        (("--discover-spaces", "image_processing"), ["spaces", "discover", "image_processing"]),
        (("--discover-spaces=image_processing",), ["spaces", "discover", "image_processing"]),
        (("--list-spaces",), ["spaces", "list", "--all"]),
        (("--json", "--list-spaces"), ["spaces", "list", "--all", "--json"]),
        (("--list-spaces", "--redis", "unix:///x"), ["spaces", "list", "--all", "--redis", "unix:///x"]),
        (("--cleanup-cache", "--dry-run"), ["cleanup", "--dry-run"]),
        (("--tier-status",), ["tiers"]),
        (("--list-spaces", "--help"), ["spaces", "list", "--all", "--help"]),
        (("--", "--list-spaces"), ["run", "--", "--list-spaces"]),
    ],
)
def test_an_action_is_the_subcommand_that_does_it(args: tuple[str, ...], subcommand: list[str]) -> None:
    assert translate(*args) == subcommand


@pytest.mark.parametrize(
    "args", [(), ("--help",), ("--show-completion",), ("run", "x"), ("spaces", "--list-spaces"), ("batch",)]
)
def test_a_subcommand_stays_as_it_is(args: tuple[str, ...]) -> None:
    assert translate(*args) == list(args)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("bacth", "x"), "Did you mean batch?"),
        (("bacth", "prompts.txt", "-o", "out.jsonl"), "Did you mean batch?"),
        (("bacth", "--space", "x"), "Did you mean batch?"),
        (("Run", "x y"), "Did you mean run?"),
        (("statu", "--json"), "Did you mean status?"),
        (("space", "list"), "Did you mean spaces?"),
        (("nonsense",), "To send it as a prompt: spacedock run nonsense"),
        (("nonsense", "--json"), "no such command 'nonsense'"),
        (("Analyze", "this", "image", "--hf-space", "x"), "spacedock run 'Analyze this image'"),
        (("--redis", "unix:///x", "cleanup"), "comes first: spacedock cleanup"),
        (("--json", "spaces", "list"), "comes first: spacedock spaces"),
        (("--list-space",), "Did you mean --list-spaces?"),
        (("--tier-stats", "--json"), "Did you mean --tier-status?"),
        (("--discover-space=audio",), "Did you mean --discover-spaces?"),
    ],
)
def test_a_mistyped_subcommand_is_not_sent_as_a_prompt(args: tuple[str, ...], words: str) -> None:
    with pytest.raises(BadRequestError) as told:
        translate(*args)
    assert words in str(told.value)
