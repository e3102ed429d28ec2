"""The command line of the seed: a prompt without a subcommand, and actions that are options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches

from typer.core import TyperCommand

from spacedock.errors import BadRequestError

ACTIONS: Mapping[str, tuple[str, ...]] = {
    "--discover-spaces": ("spaces", "discover"),
    "--list-spaces": ("spaces", "list", "--all"),
    "--cleanup-cache": ("cleanup",),
    "--tier-status": ("tiers",),
}
"""What the seed writes as an option, and the subcommand that does it."""

_OF_ALL_COMMANDS = frozenset({"--help", "--install-completion", "--show-completion"})
"""Options that stand before any subcommand."""

_BARE = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
"""A single word that may be meant as a subcommand. Prompts in scripts without spaces are none."""

_SAY_NOTHING_OF_A_JOB = frozenset({"prompt", "json", "redis", "verbose"})


def translated(args: Sequence[str], commands: Sequence[str], reader: Callable[[], TyperCommand]) -> list[str]:
    """The arguments with a subcommand in front, where they are in the seed's form.

    `reader` gives `spacedock run`. Raises BadRequestError where a word is more likely a mistyped subcommand
    than a prompt: a prompt is sent to a machine that works on it for minutes.
    """
    if not args or args[0] in commands or args[0] in _OF_ALL_COMMANDS:
        return list(args)
    action = _action(args)
    if action is not None:
        return action
    run = reader()
    _check_option(args[0], run)
    _check_words(*_read(args, run), commands)
    return ["run", *args]


def _action(args: Sequence[str]) -> list[str] | None:
    """The subcommand for the first action among the arguments, with all others behind it."""
    for place, arg in enumerate(args):
        name, sign, value = arg.partition("=")
        if arg == "--":
            return None
        if name in ACTIONS:
            given = [value] if sign else []
            return [*ACTIONS[name], *given, *args[place + 1 :], *args[:place]]
    return None


def _check_option(arg: str, run: TyperCommand) -> None:
    """Only the subcommand itself knows its options; a mistyped action it would not know."""
    options = [option for parameter in run.params for option in (*parameter.opts, *parameter.secondary_opts)]
    name = arg.partition("=")[0]
    close = get_close_matches(name, ACTIONS, n=1, cutoff=0.8)
    if close and name not in options:
        raise BadRequestError(f"no such option '{name}'. Did you mean {close[0]}?")


def _read(args: Sequence[str], run: TyperCommand) -> tuple[list[str], bool]:
    """The words among the arguments as `spacedock run` reads them, and whether an option is about a job."""
    # Resilient: what is wrong with them is told when they are read in earnest.
    context = run.make_context("run", list(args), resilient_parsing=True)
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}
    words = [str(context.params["prompt"])] if "prompt" in given else []
    return [*words, *context.args], bool(given - _SAY_NOTHING_OF_A_JOB)


def _check_words(words: Sequence[str], of_a_job: bool, commands: Sequence[str]) -> None:
    if not words or (len(words) == 1 and not _BARE.fullmatch(words[0])):
        return
    word, whole = words[0], " ".join(words)
    close = get_close_matches(word.lower(), commands, n=1, cutoff=0.7) if _BARE.fullmatch(word) else []
    if word in commands:
        why = f"'{word}' is a subcommand, and comes first: spacedock {word} …"
    elif close:
        why = f"no such command '{word}'. Did you mean {close[0]}?"
    elif len(words) > 1:
        why = f"no such command '{word}'; a prompt of several words goes in quotes."
    elif not of_a_job:
        why = f"no such command '{word}'; see `spacedock --help`."
    else:
        return
    raise BadRequestError(f"{why} To send it as a prompt: spacedock run {shlex.quote(whole)}")
