"""Row 10: input of every kind, changed at random and made to be slow: what crashes, and what takes long."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import json
import re
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from typing import Any

import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from tests.faults.account import Account, CannotRunError, Case, Row
from tests.faults.doors import DOORS, MB, Door
from tests.faults.shapes import SHAPES
from tests.unit.gradio_json import JSON

LIMIT_SECONDS = 1.0
"""Of the event loop's own time, for an input of as many bytes as its place takes (16 MB of an app)."""

PART, WORST = 8, 4
"""Shapes are tried at such a part; as large as they are taken the worst so many, and those near the limit."""

_BYTES = st.binary(max_size=40) | st.sampled_from(
    [b"\x00", b"\xef\xbb\xbf", b"\xff\xfe", b"&a", b"*a", b"!!python/object:os.system", b"\r", b"{{", b"<<: "]
)


@st.composite
def changed(draw: Any, value: Any) -> Any:
    """The value with one part of it taken out, put in, or made something else; mostly far below."""
    if not isinstance(value, dict | list) or not value or draw(st.integers(0, 4)) == 0:
        return draw(JSON)
    places = list(value) if isinstance(value, dict) else list(range(len(value)))
    place = draw(st.sampled_from(places))
    match draw(st.integers(0, 5)):
        case 0:
            inner: Any = [(key, value[key]) for key in places if key != place]
            return dict(inner) if isinstance(value, dict) else [one for _, one in inner]
        case 1 if isinstance(value, dict):
            return {**value, draw(st.text(max_size=8)): draw(JSON)}
        case 1:
            return [*value, draw(JSON)]
    new = draw(changed(value[place]))
    if isinstance(value, dict):
        return {**value, place: new}
    return [*value[:place], new, *value[place + 1 :]]


@st.composite
def broken(draw: Any, raw: bytes) -> bytes:
    """The bytes with others put in, a part gone, or a part twice."""
    start, end = sorted((draw(st.integers(0, len(raw))), draw(st.integers(0, len(raw)))))
    part = draw(st.sampled_from([b"", raw[start:end] * 2]) | _BYTES)
    return raw[:start] + part + raw[end:]


def inputs_of(door: Door) -> st.SearchStrategy[bytes]:
    """What is tried at a door."""
    kinds: list[st.SearchStrategy[bytes]] = [st.binary(max_size=200)]
    for raw in door.seeds:
        kinds += [broken(raw), broken(raw).flatmap(broken)]
        try:
            value = yaml.safe_load(raw)
        except yaml.YAMLError:
            continue
        written = json.dumps if raw[:1] in b"[{" else yaml.safe_dump
        if isinstance(value, dict | list):
            kinds.append(changed(value).flatmap(changed).map(partial(_encoded, written)))
    return st.one_of(kinds)


def _encoded(written: Callable[[Any], str], value: Any) -> bytes:
    try:
        return written(value).encode("utf-8", "replace")
    except (yaml.YAMLError, ValueError):
        return repr(value).encode("utf-8", "replace")


class Trying:
    """Reads inputs at one door, and notes the loop's time for each, crashes and overruns."""

    def __init__(self, door: Door) -> None:
        self.door, self.count, self.slowest = door, 0, (0.0, "")
        self.wrong: list[str] = []

    async def read(self, raw: bytes, what: str) -> float:
        """The seconds that it took."""
        self.count += 1
        began = time.thread_time()
        try:
            read = self.door.read(raw)
            if inspect.isawaitable(read):
                await read
        except self.door.refusals:
            pass
        except Exception as error:  # noqa: BLE001 (a crash is what is looked for)
            self.wrong.append(f"{self.door.name}: {type(error).__name__} of {what}: {raw[:200]!r}")
        spent = time.thread_time() - began
        self.slowest = max(self.slowest, (spent, what))
        if spent > LIMIT_SECONDS:
            self.wrong.append(f"{self.door.name}: {spent:.2f} s for {what}, {len(raw):,} bytes")
        return spent


def _account(tries: Iterable[Trying]) -> Account:
    tries = list(tries)
    notes = [
        f"{t.door.name}: {t.count:,} inputs, at most {1000 * t.slowest[0]:.0f} ms ({t.slowest[1]})"
        for t in tries
    ]
    wrong = [why for t in tries for why in t.wrong]
    return Account(sum(t.count for t in tries), wrong=tuple(wrong), notes=tuple(notes))


async def at_random(trials: int) -> Account:
    """Try so many inputs at each door, from hypothesis."""
    tries = [Trying(door) for door in DOORS]
    await asyncio.to_thread(lambda: [_at_random(trying, trials) for trying in tries])
    return _account(tries)


def _at_random(trying: Trying, trials: int) -> None:
    @seed(7)
    @settings(max_examples=trials, deadline=None, database=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(raw=inputs_of(trying.door))
    def tried(raw: bytes) -> None:
        loop.run_until_complete(trying.read(raw, "a changed input"))

    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        tried()


async def worst_shapes(trials: int) -> Account:
    """Try each shape at each door, the worst of them of as many bytes as are read there."""
    tries = [Trying(door) for door in DOORS]
    for _ in range(trials):
        for trying in tries:
            spent: list[tuple[float, str, int]] = []
            for name, shape in SHAPES.items():
                for place, raw in enumerate(_within(trying.door, shape, trying.door.most // PART)):
                    spent.append((await trying.read(raw, name), name, place))
            spent.sort(reverse=True)
            for number, (seconds, name, place) in enumerate(spent):
                if number < WORST or seconds * PART > LIMIT_SECONDS / 2:
                    whole = _within(trying.door, SHAPES[name], trying.door.most)
                    await trying.read(next(islice(whole, place, None)), f"{name}, whole")
    return _account(tries)


def _within(door: Door, shape: Callable[[int], bytes], size: int) -> Iterable[bytes]:
    """The shape alone and in the place of each value of what is read by right; of a large one the last."""
    whole, seed_ = shape(size - 2**10), door.seeds[0]
    is_json = seed_[:1] == b"{" or seed_.startswith(b"data: ")
    if door.most <= MB or not is_json:
        yield whole[:size]
    if is_json:
        places = [*re.finditer(rb': ("[^"]*"|\d+|\[\]|\{\})|(\{"headers.*?\]\]\})', seed_)]
        for found in places if door.most <= MB else places[-1:]:
            part = 2 if found[2] else 1
            yield seed_[: found.start(part)] + whole + seed_[found.end(part) :]


async def guided(trials: int) -> Account:
    """Have atheris try so many inputs at each door, led by what they reach in the code."""
    if importlib.util.find_spec("atheris") is None:
        raise CannotRunError("atheris is not installed: `.venv/bin/pip install atheris`")
    command = [sys.executable, "-m", "tests.faults.guided", str(trials)]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said = (await process.communicate())[0].decode(errors="replace")
    found = re.findall(r"(?ms)^== ([^\n]+)\n(.*?)^== ended (-?\d+)$", said)
    wrong = [f"{name}: {words[-600:]}" for name, words, status in found if status != "0"]
    if len(found) < len(DOORS):
        wrong.append(said[-600:])
    tried = {name: re.findall(r"(?m)^(?:#|Done )(\d+)", words) for name, words, _ in found}
    reached = {name: re.findall(r"cov: (\d+)", words) for name, words, _ in found}
    counts = {name: max(map(int, numbers), default=0) for name, numbers in tried.items()}
    notes = [f"{n}: {count:,} inputs, {(reached[n] or ['no'])[-1]} edges" for n, count in counts.items()]
    return Account(sum(counts.values()), wrong=tuple(wrong), notes=tuple(notes))


_READ = "at each place that reads what others wrote"

ROW = Row(
    10,
    "Input",
    (
        Case("random", f"inputs changed at random, {_READ} (hypothesis)", at_random, 1000, 25),
        Case("shapes", f"the slowest JSON, as large as it is taken, {_READ}", worst_shapes, 1),
        Case("guided", f"inputs led by the code that they reach, {_READ} (atheris)", guided, 5000),
    ),
)
