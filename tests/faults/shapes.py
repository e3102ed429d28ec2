"""JSON that is as much work as may be for its bytes: the worst shapes that are known, of any size."""

from __future__ import annotations

from collections.abc import Callable, Mapping

Shape = Callable[[int], bytes]
"""The shape in about so many bytes."""


def filled(unit: bytes, head: bytes = b"", tail: bytes = b"", sep: bytes = b"") -> Shape:
    def shape(size: int) -> bytes:
        count = max(1, (size - len(head) - len(tail)) // (len(unit) + len(sep)))
        return head + sep.join([unit] * count) + tail

    return shape


def listed(unit: bytes, most: int = 10**9) -> Shape:
    def shape(size: int) -> bytes:
        return b"[" + b",".join([unit] * min(most, size // (len(unit) + 1))) + b"]"

    return shape


def text(unit: bytes) -> Shape:
    return filled(unit, b'"', b'"')


def keys(width: int, most: int = 10**9) -> Shape:
    def shape(size: int) -> bytes:
        count = min(most, size // (width + 5))
        return b"{" + b",".join(b'"%0*x":0' % (width, number) for number in range(count)) + b"}"

    return shape


# A Space's answer may hold a million keys and values, and 200,000 lists and objects: the most of each that
# is still taken is worse than what is refused.
_VALUES, _NESTS = 990_000, 190_000

SHAPES: Mapping[str, Shape] = {
    "numbers": listed(b"0"),
    "empty lists": listed(b"[]"),
    "deep lists": lambda size: b"[" * (size // 2) + b"]" * (size // 2),
    "deep objects": lambda size: b'{"a":' * (size // 6) + b"0" + b"}" * (size // 6),
    "many deep lists": listed(b"[" * 900 + b"]" * 900),
    "short escapes": text(rb"\n"),
    "long escapes": text(rb"\u0041"),
    "mixed escapes": text(rb"\na"),
    "half surrogates": text(rb"\ud800"),
    "a long text": text(b"a"),
    "four-byte characters": text("😀".encode()),
    "broken UTF-8": text(b"\xff"),
    "commas in a text": text(b","),
    "short keys": keys(7),
    "long keys": keys(28, _VALUES // 2),
    "one key again": filled(b'"a":0', b"{", b"}", b","),
    "a huge number": filled(b"1"),
    "long numbers": listed(b"1" * 4300),
    "numbers of 640 digits": listed(b"1" * 640),
    "long fractions": listed(b"0." + b"1" * 4300),
    "fractions": listed(b"0.12345678901234567", _VALUES),
    "tiny exponents": listed(b"1" * 700 + b"e-340"),
    "spaces": filled(b" ", b"[", b"0]"),
    "NaN": listed(b"NaN"),
    "a text without end": filled(b"a", b'"'),
    "lists without end": filled(b'["'),
    "texts": listed(b'"abcdefghijklm"', _VALUES),
    "rows": listed(b'[1,2,3,4,"abc"]', _NESTS),
    "pairs": listed(b'["a","b"]', _NESTS),
    "objects": listed(b'{"abcde":0,"fghij":"x"}', _NESTS),
    "messages": listed(b'{"role":"assistant","content":["a","b"]}', _NESTS // 2),
    "a table": filled(b"[1.5,2.5,3.5,4.5]", b'{"headers":["a"],"data":[', b"]}", b","),
    "a table that is taken": lambda size: (
        b'{"headers":["a"],"data":[' + b",".join([b"[1.5,2.5,3.5,4.5]"] * min(_NESTS, size // 18)) + b"]}"
    ),
}
