"""The address of a Redis: which there are, and what is wrong with one, without a word of its password."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

_SCHEMES = {
    "redis": "redis",
    "rediss": "rediss",
    "valkey": "redis",
    "valkeys": "rediss",
    "unix": "unix",
}
_FORMS = (
    "redis://[user:password@]host[:port][/db], rediss:// for TLS (also valkey://, valkeys://), unix:///path, "
    "or redis+sentinel://host:port,host:port/master"
)
_SENTINEL_PORT = 26379
_UNREADABLE = "its host or its port cannot be read; write special characters of a password as %XX"
_TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_ca_path")


@dataclass(frozen=True, slots=True)
class Sentinels:
    """The Sentinels, by host and port, that know the master of this name."""

    hosts: tuple[tuple[str, int], ...]
    name: str


def read(url: str) -> tuple[str, Sentinels | None]:
    """The address as redis-py takes it, and the Sentinels, if it names some.

    Raises ValueError that says what is wrong. Never with Python's own words: they quote what they stumble
    over, and that can be a part of the password.
    """
    scheme, mark, rest = url.strip().partition("://")
    scheme, _, watched = scheme.lower().partition("+")
    known = _SCHEMES.get(scheme)
    if not mark or known is None or watched not in ("", "sentinel") or (watched and known == "unix"):
        raise ValueError(f"write {_FORMS}")
    text = f"{known}://{rest}"
    if re.search(r"[\x00-\x1f\x7f]", text):
        raise ValueError("it has a control character in it")
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError(_UNREADABLE) from None
    if watched:
        return _of_sentinels(parts)
    _check(parts)
    return text, None


def _of_sentinels(parts: SplitResult) -> tuple[str, Sentinels]:
    """The address of a master that has no host yet; its path is the master's name, then the database."""
    login, at, hosts = parts.netloc.rpartition("@")
    name, _, db = parts.path.removeprefix("/").partition("/")
    if not name:
        raise ValueError("after the Sentinels comes the name of their master, such as /mymaster")
    found = []
    for host in hosts.split(","):
        one = parts._replace(netloc=host, path="")
        _check(one)
        if not one.hostname:
            raise ValueError("a Sentinel's host is missing")
        found.append((one.hostname, one.port or _SENTINEL_PORT))
    plain = parts._replace(netloc=f"{login}{at}localhost", path=f"/{db}")
    _check(plain)
    return urlunsplit(plain), Sentinels(tuple(found), unquote(name))


def _check(parts: SplitResult) -> None:
    if parts.fragment:
        raise ValueError("write a '#' of the password as %23")
    if parts.scheme == "unix":
        if not parts.path.strip("/"):
            raise ValueError("the path of its socket is missing")
        return
    if not re.fullmatch(r"(.*@)?(\[[0-9A-Fa-f:.%\w]+\]|[^\s:@\[\]]*)(:\d{1,5})?", parts.netloc, re.DOTALL):
        raise ValueError(_UNREADABLE)
    port = re.search(r":(\d+)$", parts.netloc.rpartition("@")[2].rpartition("]")[2])
    if port and not 0 < int(port[1]) < 2**16:
        raise ValueError("its port is no number from 1 to 65535")
    try:
        (parts.hostname or "").encode("idna")
    except UnicodeError:
        raise ValueError("its host is no name of a host") from None
    if not re.fullmatch(r"/?\d*", unquote(parts.path)):
        raise ValueError("after the host comes the number of the database, such as /0, and nothing else")


def check_files(options: dict[str, Any]) -> None:
    """Raise ValueError where a file of certificates that an address names is missing."""
    for name in _TLS_FILES:
        if (path := options.get(name)) and not Path(path).exists():
            raise ValueError(f"{name}={path}: there is no such file")
