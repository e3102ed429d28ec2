"""Addresses of Redis: which work, and that what is wrong with one is told without its password."""

from __future__ import annotations

import pytest
from redis.exceptions import AuthenticationError, NoPermissionError, ReadOnlyError, ResponseError

from spacedock._wire.connection import connect, explained
from spacedock.errors import BadRequestError, NotConnectedError, RefusedError


@pytest.mark.parametrize(
    ("url", "host", "tls"),
    [
        ("redis://h", "h", False),
        ("REDIS://H:6380/1", "h", False),
        ("valkey://h", "h", False),
        ("Valkey://user:pass@h/2", "h", False),
        ("rediss://h", "h", True),
        ("valkeys://h:1/0", "h", True),
        ("VALKEYS://[::1]:7000", "::1", True),
        (" redis://h\n", "h", False),
    ],
)
async def test_every_name_of_the_scheme_works(url: str, host: str, tls: bool) -> None:
    async with connect(url) as redis:
        pool = redis.connection_pool
        assert (pool.connection_kwargs["host"], "Tls" in pool.connection_class.__name__) == (host, tls)


@pytest.mark.parametrize(
    ("url", "hosts", "name", "db", "tls"),
    [
        ("redis+sentinel://h/mymaster", [("h", 26379)], "mymaster", 0, False),
        ("REDIS+Sentinel://h1:1,h2:2/main/3", [("h1", 1), ("h2", 2)], "main", 3, False),
        ("valkeys+sentinel://u:p@[::1]:1/my%20master", [("::1", 1)], "my master", 0, True),
    ],
)
async def test_sentinels_are_asked_for_their_master(
    url: str, hosts: list[tuple[str, int]], name: str, db: int, tls: bool
) -> None:
    async with connect(url) as redis:
        pool = redis.connection_pool
        asked = [one.connection_pool.connection_kwargs for one in pool.sentinel_manager.sentinels]
        assert [(one["host"], one["port"]) for one in asked] == hosts
        assert (pool.service_name, pool.connection_kwargs.get("db", 0)) == (name, db)
        assert ("Tls" in pool.connection_class.__name__) is tls


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("sentinel://h", "write redis://"),
        ("unix+sentinel:///x", "write redis://"),
        ("redis+cluster://h", "write redis://"),
        ("redis+sentinel://h", "the name of their master"),
        ("redis+sentinel://h:26379/", "the name of their master"),
        ("redis+sentinel://h:26379/mymaster/one", "the number of the database"),
        ("redis+sentinel://h1:1,/mymaster", "a Sentinel's host is missing"),
        ("redis+sentinel://h1:1,h2:port/mymaster", "cannot be read"),
        ("redis+sentinel://h1:1,h2:0/mymaster", "no number from 1 to 65535"),
        ("http://h", "write redis://"),
        ("redis:/h", "write redis://"),
        ("", "write redis://"),
        ("redis://h:0", "no number from 1 to 65535"),
        ("redis://h:65536", "no number from 1 to 65535"),
        ("redis://h:999999", "cannot be read"),
        ("redis://h:port", "cannot be read"),
        ("redis://h:", "cannot be read"),
        ("redis://[::1", "cannot be read"),
        ("redis://a b", "cannot be read"),
        ("redis://h1:1,h2:2", "cannot be read"),
        ("redis://h/one", "the number of the database"),
        ("redis://h/0/1", "the number of the database"),
        ("redis://h/0#x", "%23"),
        ("redis://h\x00", "control character"),
        (f"redis://{'a' * 64}", "no name of a host"),
        ("redis://h?nonsense=1", "unknown or wrong"),
        ("redis://h?db=x", "db"),
        ("rediss://h?ssl_cert_reqs=perhaps", "unknown or wrong"),
        ("rediss://h?ssl_ca_certs=/nowhere/ca.pem", "/nowhere/ca.pem: there is no such file"),
        ("unix://", "socket is missing"),
        ("unix:///", "socket is missing"),
    ],
)
def test_an_address_that_cannot_be_one_is_told(url: str, why: str) -> None:
    with pytest.raises(BadRequestError, match="is not the address of a Redis") as told:
        connect(url)
    assert why in str(told.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:se#cret@h",
        "redis+sentinel://:secret@h:x/m?sentinel_password=secret",
        "redis://:se:cret#@h:x",
        "redis://u:secret@h:port",
    ],
)
def test_no_part_of_a_password_is_told(url: str) -> None:
    with pytest.raises(BadRequestError) as told:
        connect(url)
    assert "cret" not in str(told.value)


@pytest.mark.parametrize(
    ("error", "says", "lasting"),
    [
        (AuthenticationError("WRONGPASS"), "does not take this user and password", True),
        (NoPermissionError("may not publish x"), "lacks a right (may not publish x)", True),
        (ReadOnlyError("replica"), "read-only replica", False),
        (ResponseError("DENIED protected mode"), "it refused: DENIED", True),
        (ResponseError("MISCONF Errors writing to the AOF file: No space left"), "No space left", False),
    ],
)
def test_a_refusal_is_no_absence(error: Exception, says: str, lasting: bool) -> None:
    told = explained("redis://:secret@h", error)
    assert isinstance(told, RefusedError)
    assert told.lasting is lasting
    assert says in str(told)
    assert "spacedockd" not in str(told)
    assert "secret" not in str(told)


def test_a_plain_call_that_is_hung_up_on_thinks_of_tls() -> None:
    told = explained("redis://h", ConnectionError("Connection closed by server."))
    assert isinstance(told, NotConnectedError)
    assert "rediss://" in str(told)
