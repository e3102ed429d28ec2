"""Refuses an option of a command as the value of another one: the value that was meant is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from typer.core import TyperGroup

from spacedock.errors import BadRequestError


def check_values(args: Sequence[str], command: Any) -> None:
    """Raise BadRequestError for the first option among `args` whose value is an option of the same command.

    `command` is one of typer's, or a group of them. A word that begins with a dash and is no option of the
    command, such as the prompt "-5 degrees", is a value like any other.
    """
    names, place = _names_of(command), 0
    while place < len(args) and args[place] != "--":
        word, place = args[place], place + 1
        if not word.startswith("-") and isinstance(command, TyperGroup):
            if word not in command.commands:
                return
            command = command.commands[word]
            names = _names_of(command)
        elif option := names.awaiting(word):
            if place < len(args) and names.are(args[place]):
                raise _missing(option, args[place])
            place += 1


@dataclass(frozen=True, slots=True)
class _Names:
    """The names of a command's options: those that take a `value`, and the others."""

    value: frozenset[str]
    flag: frozenset[str]

    def are(self, word: str) -> bool:
        """Whether the word is one of these options, by itself or with its value (--name=value)."""
        name = word.partition("=")[0] if word.startswith("--") else word
        return name in self.value | self.flag

    def awaiting(self, word: str) -> str | None:
        """The option in the word whose value is the next word; short ones may stand together, as in -qd."""
        if word.startswith("--") or len(word) < 2 or not word.startswith("-"):
            return word if word in self.value else None
        for at, letter in enumerate(word[1:], start=2):
            if f"-{letter}" in self.value:
                return f"-{letter}" if at == len(word) else None
        return None


def _names_of(command: Any) -> _Names:
    value, flag = set[str](), {"--help"}
    for one in command.params:
        if one.param_type_name == "option":
            names = value if not one.is_flag and not one.count else flag
            names.update(one.opts, one.secondary_opts)
    return _Names(frozenset(value), frozenset(flag))


def _missing(option: str, word: str) -> BadRequestError:
    meant = f"{option}={word}" if option.startswith("--") else f"{option}{word}"
    why = f"{option} needs a value, and {word} is another option of this command"
    return BadRequestError(f"{why}. If it is the value, write {meant}")
