"""What a Dockerfile takes that only BuildKit has: here-documents, mounts, and who owns a WORKDIR (pure)."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from spacedock_worker.images.build.admission import ForbiddenError
from spacedock_worker.images.build.instructions import Instruction, as_buildkit, heredoc_lines

_CLASSIC_FLAGS = {"RUN": (), "COPY": ("--from", "--chown"), "ADD": ("--chown",)}
_ROOT = re.compile(r"(?:root|0)(?::\S*)?")
_BUILDERS_OWN = re.compile(r"\$\{?(?:BUILD|TARGET)")
_DIRECTIVE = re.compile(r"(\s*(?:#|//)\s*)syntax(\s*=\s*(\S*).*)", re.IGNORECASE | re.DOTALL)
_FRONTEND = re.compile(r"(?:docker\.io/)?docker/dockerfile(?:-upstream)?(?:[:@].*)?")


@dataclass(frozen=True, slots=True)
class Features:
    """What of a Dockerfile takes BuildKit, in `words` (empty: nothing does).

    One that is not `strict` about it can be built without BuildKit too, with other owners of its folders.
    `secrets` are those that its steps mount, by id, and whether they must be there.
    """

    words: str = ""
    strict: bool = False
    secrets: Mapping[str, bool] = field(default_factory=dict)


NO_FEATURES = Features()


def features(text: str) -> Features:
    """What the Dockerfile takes of BuildKit."""
    instructions = tuple(as_buildkit(text))
    found = [words for one in instructions if (words := _flag(one))]
    if any(inside for _, inside in heredoc_lines(text)):
        found.append("a here-document (<<)")
    secrets: dict[str, bool] = {}
    for one in instructions:
        for name, required in _secrets(one):
            secrets[name] = required or secrets.get(name, False)
    if found:
        return Features(found[0], strict=True, secrets=secrets)
    return Features("WORKDIR after USER" if _user_makes_folder(instructions) else "")


def built_in(text: str) -> str:
    """The Dockerfile without the line that names a frontend: BuildKit would pull that, and has its own."""
    lines = text.split("\n")
    head = sum(1 for _ in _head(lines))
    return "\n".join([_DIRECTIVE.sub(r"\1syntax was\2", line) for line in lines[:head]] + lines[head:])


def check_frontend(text: str) -> None:
    """Raises ForbiddenError where another program than Docker's own would read the Dockerfile."""
    if text.removeprefix("\ufeff").lstrip().startswith("{"):
        raise ForbiddenError("it begins with a brace, which no Dockerfile does; begin with FROM")
    for line in _head(text.removeprefix("\ufeff").split("\n")):
        if (named := _DIRECTIVE.match(line)) and not _FRONTEND.fullmatch(named[3]):
            raise ForbiddenError(
                f"it has the program {named[3][:100]} read it (# syntax=); only docker/dockerfile is taken"
            )


def _head(lines: list[str]) -> Iterator[str]:
    """The comments and empty lines before the first instruction, where directives are."""
    for line in lines:
        if line.strip() and not line.lstrip("\ufeff \t\r\f\v").startswith(("#", "//")):
            return
        yield line


def _flag(one: Instruction) -> str:
    """The instruction with its flag that the classic builder does not know; empty where it knows all."""
    if one.name == "FROM" and any(_BUILDERS_OWN.search(flag) for flag in one.flags):
        return "FROM with the builder's own variables"
    known = _CLASSIC_FLAGS.get(one.name)
    names = (flag.partition("=")[0].lower() for flag in one.flags)
    return next((f"{one.name} {name}" for name in names if known is not None and name not in known), "")


def _secrets(one: Instruction) -> Iterator[tuple[str, bool]]:
    for flag in one.flags if one.name == "RUN" else ():
        kind, _, value = flag.partition("=")
        options = {
            key.strip().lower(): given for key, _, given in (o.partition("=") for o in value.split(","))
        }
        if kind.lower() == "--mount" and options.get("type", "").lower() == "secret":
            target = next((options[key] for key in ("target", "dst", "destination") if key in options), "")
            required = options.get("required", "false").lower() in ("", "true", "1", "t")
            yield options.get("id") or posixpath.basename(target), required


def _user_makes_folder(instructions: tuple[Instruction, ...]) -> bool:
    """Whether a WORKDIR comes after the USER of its stage: BuildKit makes it that user's, others root's."""
    users: dict[str, bool] = {}
    name, is_user = "", False
    for one in instructions:
        words = one.words
        if one.name == "FROM" and words:
            is_user = users.get(words[0].lower(), False)
            name = words[2].lower() if len(words) > 2 else ""
        elif one.name == "USER" and words:
            is_user = not _ROOT.fullmatch(words[0])
        elif one.name == "WORKDIR" and is_user:
            return True
        users[name] = is_user
    return False
