"""The secrets that a Space asks for, by what its README and its code say (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable

_MOST = 20
_SECRET = r"[A-Z][A-Z0-9_]{0,60}"
_READ = re.compile(
    rf"""(?:environ(?:\.get)?|getenv|secrets(?:\.get)?|env(?:\.get)?)\s*[\[(]\s*["']({_SECRET})["']"""
    rf"""|process\.env\.({_SECRET})"""
)
_WRITTEN = re.compile(r"\b([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*_(?:TOKEN|KEY|SECRET|PASSWORD|CREDENTIALS))\b")
_SOUNDS_SECRET = re.compile(r"TOKEN|KEY|SECRET|PASSWORD|PASSWD|CREDENTIAL")


def secrets_in(readme: str, code: str) -> tuple[str, ...]:
    """The names, in the order in which they are found: what the code reads first, then what README.md names.

    A variable counts as a secret by its name alone: whether the Space works without it, it does not say.
    """
    read = (first or second for first, second in _READ.findall(code))
    named = [name for name in read if _SOUNDS_SECRET.search(name)]
    return _first(dict.fromkeys([*named, *_WRITTEN.findall(readme)]))


def _first(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(names)[:_MOST]
