"""What a stranger's Dockerfile may ask of the builder, which is on this host's own network (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from spacedock_worker.images.build.instructions import (
    Instruction,
    as_buildkit,
    instruction,
    plain,
    readings,
)

MAX_BYTES = 256 * 2**10

_NAME = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._/:@-]*")
_VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)(?:(:?[-+])([^{}$]*))?\})", re.ASCII)
_PREDEFINED = re.compile(r"(TARGET|BUILD)(PLATFORM|OS|ARCH|VARIANT)|(https?|ftp|no|all)_proxy", re.IGNORECASE)
"""Variables that some builders set by themselves, whatever the Dockerfile says."""

_ARG_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_WORD = r"(?:[^\s\"'\\`]|\"[^\"\\`]*\"|'[^'\\`]*')+"
_ARGS = re.compile(rf"{_WORD}(?:\s+{_WORD})*")
_CUT = re.compile(r"\$\w+[\"'\\`]\S")
"""A variable's name that a quote ends: without the quote, what follows would belong to it."""

_LONGEST = 1000
_MOST_GROWN = 2**20
_SHELLS = ("RUN", "CMD", "ENTRYPOINT", "SHELL", "HEALTHCHECK")
_USED = re.compile(r"\$\{?(\w+)", re.ASCII)
_SET = re.compile(r"(?:^|\s)[\"']?(\w+)", re.ASCII)
_SCHEMES = ("http://", "https://", "git://", "ssh://", "git@", "ftp://")
_BY_TOKEN = "fetch by https, with a token that is mounted by --mount=type=secret"
_NETWORKS = ("--network=default", "--network=none")


class ForbiddenError(ValueError):
    """The Dockerfile asks for what it may not have; the message says what, and what to do instead."""


@dataclass(slots=True)
class Wants:
    """The images of image registries or of this host that a Dockerfile is built on, and copies from."""

    bases: set[str] = field(default_factory=set)
    copied: set[str] = field(default_factory=set)


def examine(text: str, *, by_buildkit: bool = False) -> Wants:
    """The images that the Dockerfile wants, whichever builder reads it, or BuildKit. Raises ForbiddenError.

    The builder fetches what ADD names from this host's own network, so it may fetch nothing: an address may
    lead here by its name, by a redirect, or at the next look at its name.
    """
    wants = Wants()
    for instructions in (as_buildkit(text),) if by_buildkit else readings(text):
        _Examiner(wants).all(instructions)
    return wants


def examine_triggers(image: str, triggers: Iterable[str]) -> Wants:
    """The same of an image's ONBUILD instructions, which run in what is built on it."""
    wants = Wants()
    try:
        _Examiner(wants).all(map(instruction, triggers))
    except ForbiddenError as error:
        raise ForbiddenError(f"{image} has it do so (ONBUILD): {error}") from error
    return wants


class _Examiner:
    """Goes through one reading of a Dockerfile from its first line to its last."""

    def __init__(self, wants: Wants) -> None:
        self._wants = wants
        self._stages: list[str] = []
        self._values: dict[str, str | None] = {}
        self._sizes: dict[str, int] = {}
        self._grown = 0

    def all(self, instructions: Iterable[Instruction]) -> None:
        for one in instructions:
            self._one(one)

    def _one(self, one: Instruction) -> None:
        if one.name == "ONBUILD":
            one = instruction(one.rest)
        if one.name == "ONBUILD":
            raise ForbiddenError("it has an ONBUILD in an ONBUILD, which no builder takes; leave it out")
        self._weigh(one)
        if one.name == "ARG" and not self._stages:
            self._declare(_uncut(one).rest)
        elif one.name == "FROM":
            self._from(_uncut(one).words)
        elif one.name == "RUN":
            self._run(one.flags)
        elif one.name in ("ADD", "COPY"):
            self._takes(one)

    def _takes(self, one: Instruction) -> None:
        for words in one.arguments:
            if one.name == "ADD":
                _check_sources(words[:-1])
            for flag in (*one.flags, *words):
                if flag.lower().startswith("--from="):
                    self._copies(flag[7:])

    def _weigh(self, one: Instruction) -> None:
        """Bound what the engine itself must hold: variables are written out but for the shell."""
        if one.name in _SHELLS:
            return
        grown = sum(self._sizes.get(name, 0) for name in _USED.findall(one.rest))
        self._grown += grown
        if self._grown > _MOST_GROWN:
            raise ForbiddenError("its variables grow beyond a megabyte by one another; write them out")
        if one.name in ("ARG", "ENV"):
            # Of a line with several names, each counts as the whole line: more than it can be.
            for name in _SET.findall(one.rest):
                self._sizes[name] = len(one.rest) + grown

    def _declare(self, rest: str) -> None:
        """Read words as builders do: a quoted space parts none."""
        if not _ARGS.fullmatch(rest):
            raise ForbiddenError(
                f"ARG {rest[:100]} before FROM has an escape or an open quote; write it plainly"
            )
        for word in re.findall(_WORD, rest):
            name, given, value = plain(word).partition("=")
            if not _ARG_NAME.fullmatch(name):
                raise ForbiddenError(f"it declares ARG {name[:100]} before FROM; write the name out")
            if name in self._values:
                raise ForbiddenError(f"it declares ARG {name} twice before FROM; declare it once")
            self._values[name] = self._expanded(value) if given else None

    def _from(self, words: tuple[str, ...]) -> None:
        name = self._expanded(words[0]) if words else ""
        if name.lower() not in (*self._stages, "scratch"):
            self._wants.bases.add(_checked(name))
        self._stages.append(words[2].lower() if len(words) > 2 else "")

    def _run(self, flags: Iterable[str]) -> None:
        for flag in flags:
            kind, _, value = flag.partition("=")
            if kind == "--mount":
                for option in value.split(","):
                    if option.lower().startswith("from="):
                        self._copies(option[5:])
                    if option.lower() == "type=ssh":
                        raise ForbiddenError(
                            f"RUN {flag[:100]} takes an SSH agent, and there is none; {_BY_TOKEN}"
                        )
            elif flag.lower() not in _NETWORKS:
                raise ForbiddenError(f"RUN {flag[:100]} is not allowed here; leave it out")

    def _copies(self, name: str) -> None:
        index = int(name) if name.isdecimal() and len(name) < 4 else len(self._stages)
        if name.lower() not in self._stages and index >= len(self._stages):
            self._wants.copied.add(_checked(name))

    def _expanded(self, text: str) -> str:
        # Two variables in the next one's value, forty times, are more than any memory holds.
        expanded = _VARIABLE.sub(self._value, text) if len(text) <= _LONGEST else text
        if len(expanded) > _LONGEST:
            raise ForbiddenError("it makes a name of over 1,000 characters of variables; write the name out")
        return expanded

    def _value(self, found: re.Match[str]) -> str:
        if _PREDEFINED.fullmatch(found[1] or found[2]):
            raise ForbiddenError(f"the builder itself sets {found[0][:100]}; write the image's name out")
        value, how, word = self._values.get(found[1] or found[2]), found[3] or "", found[4] or ""
        there = bool(value) if how.startswith(":") else value is not None
        if how.endswith("+"):
            return word if there else ""
        return (value or "") if there or not how else word


def _uncut(one: Instruction) -> Instruction:
    """The instruction, whose variables can be told. Raises ForbiddenError."""
    if _CUT.search(one.rest):
        raise ForbiddenError(f"{one.name} {one.rest[:100]} ends a variable by a quote; write ${{NAME}}")
    return one


def _checked(name: str) -> str:
    """A name that can be asked for. Raises ForbiddenError for one that cannot be judged."""
    if not _NAME.fullmatch(name):
        raise ForbiddenError(f"it builds on '{name[:100]}', which is no image's name; write the name out")
    return name


def _check_sources(sources: Iterable[str]) -> None:
    for source in sources:
        literal = source.lower().partition("$")
        named = any(scheme in literal[0] for scheme in _SCHEMES) or "://" in source
        hidden = bool(literal[1]) and any(scheme.startswith(literal[0]) for scheme in _SCHEMES)
        if named or hidden:
            what = "an address" if named else "what a variable names"
            instead = (
                "fetch it by RUN (curl -fLO, git clone)" if named else "use COPY for a file of the Space"
            )
            raise ForbiddenError(
                f"ADD {source[:100]} has the engine fetch {what} from this host's own network; "
                f"{instead}, or bring the file along"
            )
