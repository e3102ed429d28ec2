"""What a job or a batch would do, for people: its route, each step of its chain, and what is there for it."""

from __future__ import annotations

import json as json_module
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spacedock.cli.output.text import say, write
from spacedock.cli.output.units import age, size
from spacedock.client import Client
from spacedock.errors import SpacedockError
from spacedock.files import Payload
from spacedock.replies.host import PlanExpected, PlanImage, PlanLimits, PlanReply, PlanRoute, PlanStep
from spacedock.request import JobRequest

if TYPE_CHECKING:
    from spacedock.batching.reading import Unsent

_LONGEST = 300
_KIND = {"space": "Space", "model": "model"}


async def show_plan(client: Client, request: JobRequest, payloads: list[Payload], *, json: bool) -> None:
    """Print what would be done, and do none of it. Raises NoWorkerError, BadRequestError."""
    plan = await client.plan(request, payloads)
    if json:
        write(json_module.dumps(plan))
        return
    _tell(plan, write)


async def say_plan(client: Client, request: JobRequest, payloads: list[Payload]) -> None:
    """Say what is going to be done. A plan that cannot be had is no reason not to run the job."""
    if not await client.workers():
        return
    try:
        plan = await client.plan(request, payloads)
    except SpacedockError as error:
        say(f"no plan: {error}")
        return
    _tell(plan, say)


def _tell(plan: PlanReply, tell: Callable[[str], None]) -> None:
    for line in lines(plan):
        tell(line)
    for warning in plan["warnings"]:
        say(f"not found out: {_line(warning)}")


def lines(plan: PlanReply) -> list[str]:
    """The plan for people: the route with its reasons, then the steps in the order of the chain."""
    said = list(_route(plan["route"]))
    number = 0
    for step in plan["steps"]:
        if step["taken"]:
            number += 1
            said += _taken(number, step)
        else:
            said.append(f"-  {_line(step['name'])} ({step['tier']}) is skipped: {_line(step['reason'])}")
    if not number:
        said.append("no step can be taken: the job would fail")
    return said


def _route(route: PlanRoute | None) -> Iterator[str]:
    if route:
        yield f"route: {route['tier']}"
        for reason in route["reasons"]:
            yield f"   because {_line(reason)}"


def _taken(number: int, step: PlanStep) -> Iterator[str]:
    kind = _KIND.get(step.get("kind", ""), "step")
    turn = "" if number == 1 else "if that fails: "
    yield f"{number}. {turn}{_line(step['name'])} ({kind}, {step['tier']}): {_line(step['reason'])}"
    if step.get("degraded"):
        yield "     degraded    a model's words would not be the kind of answer that is asked for"
    rows = (
        ("model", _line(step.get("model"))),
        ("image", _image(step.get("image"))),
        ("container", _container(step.get("container"), step.get("quarantined_for"))),
        ("limits", _limits(step.get("limits"))),
        ("endpoint", _endpoint(step)),
        *(("input", f"{_line(row['input'])} <- {_line(row['from'])}") for row in step.get("mapping") or ()),
        ("trouble", _line(step.get("misfit"))),
        ("expected", _expected(step.get("expected"))),
    )
    yield from (f"     {label:<11} {text}" for label, text in rows if text)


def _image(image: PlanImage | None) -> str:
    if image is None:
        return ""
    reference, count = _line(image["reference"]), image["bytes"]
    what = [
        image["state"],
        *([reference] if reference else []),
        *([size(count)] if count is not None else []),
    ]
    return ", ".join(what)


def _container(state: str | None, quarantined: float | None) -> str:
    if quarantined is not None:
        return f"quarantined after it failed to start, {age(quarantined)} to go"
    return "none yet: it would be started" if state == "none" else state or ""


def _limits(limits: PlanLimits | None) -> str:
    if limits is None:
        return ""
    memory, cpus = limits.get("memory"), limits.get("cpus")
    parts = [
        f"{memory / 2**30:.3g} GiB of memory" if memory is not None else "",
        f"{cpus:g} CPUs" if cpus is not None else "",
        f"{limits['timeout']:g} s for a call",
        f"{limits['start_timeout']:g} s to start",
        {"sealed": "no network", "bridge": "a network of its own"}.get(limits.get("network", ""), ""),
        _gpu(limits.get("gpu")),
    ]
    return ", ".join(part for part in parts if part)


def _gpu(gpu: Any) -> str:
    if gpu is None:
        return ""
    if isinstance(gpu, int):
        return f"GPUs: any {gpu}"
    named = ", ".join(gpu) if isinstance(gpu, list) else gpu
    return {"none": "no GPU", "auto": "all GPUs"}.get(named, f"GPUs: {_line(named)}")


def _endpoint(step: PlanStep) -> str:
    if step.get("kind") != "space" or step.get("misfit"):
        return ""
    return _line(step.get("endpoint")) or "found out when it runs: it has not run here yet"


def _expected(expected: PlanExpected | None) -> str:
    if expected is None:
        return ""
    if expected["call"] is None:
        return "unknown: nothing was measured here yet"
    start = expected["start"]
    begin = f"start {start:.1f} s, " if start is not None else ""
    return f"{begin}call {expected['call']:.1f} s, as measured here"


def _line(value: Any) -> str:
    """A text on one line and of a bounded length: an app may have written it."""
    text = " ".join(("" if value is None else str(value)).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


_MOST_PLACES = 10
_MOST, _MOST_NUMBERS = 20, 10_000
"""Kinds of lines that are planned: a plan asks the worker."""


@dataclass(slots=True)
class LineKind:
    """Lines that share a plan: the first one's request, how many there are, and their first numbers."""

    request: JobRequest
    repository: list[Payload]
    count: int = 0
    numbers: list[int] = field(default_factory=list)


class Rehearsal:
    """Collects the kinds of lines, then tells the plan of each."""

    def __init__(self) -> None:
        self._kinds: dict[Hashable, LineKind] = {}
        self._others = 0

    def add(self, unsent: Unsent, repository: list[Payload]) -> None:
        """Take a line in."""
        kind = kind_of(unsent.request)
        if kind not in self._kinds and len(self._kinds) == _MOST:
            self._others += 1
            return
        found = self._kinds.setdefault(kind, LineKind(unsent.request, repository))
        found.count += 1
        if len(found.numbers) < _MOST_NUMBERS:
            found.numbers.append(unsent.name.number)

    @property
    def spaces(self) -> set[str]:
        """The Spaces that lines name."""
        return {kind.request.space for kind in self._kinds.values() if kind.request.space}

    async def tell(self, client: Client, *, json: bool) -> None:
        """Print the plan of each kind of line, and run none. Raises what `Client.plan` raises."""
        # Here, because `spacedock run` has no lines.
        from spacedock.batching.sources.line import few, places

        seconds: float | None = 0.0
        for kind in self._kinds.values():
            plan = await client.plan(kind.request, kind.repository)
            own = _seconds(plan)
            seconds = None if own is None or seconds is None else seconds + own * kind.count
            if json:
                write(json_module.dumps({"lines": kind.numbers, **plan}))
            else:
                write(f"==> {few(places(kind.numbers), _MOST_PLACES)} <==")
                write("\n".join(lines(plan)))
        if self._others:
            say(f"and {self._others:,} lines of other kinds")
            seconds = None
        count = self._others + sum(kind.count for kind in self._kinds.values())
        if not count:
            say("nothing would be run: every line has a result")
            return
        jobs = "1 job" if count == 1 else f"{count:,} jobs"
        say(f"nothing was run: without --dry-run {jobs} would be{await _about(client, seconds)}")


async def _about(client: Client, seconds: float | None) -> str:
    if not seconds:
        return "; no time is known for them: `spacedock spaces profile NAME` measures a Space"
    hosts = [host for host in await client.hosts() if host.alive]
    slots = sum(max(1, host.containers) for host in hosts) or 1
    about = age(seconds / slots)
    return f", in about {about} on {len(hosts)} host{'' if len(hosts) == 1 else 's'} with {slots} containers"


def _seconds(plan: Mapping[str, Any]) -> float | None:
    """What one call takes of the first step that may answer, as measured; None where nothing is known."""
    step: Mapping[str, Any] = next((step for step in plan["steps"] if step.get("taken")), {})
    found = (step.get("expected") or {}).get("call")
    return None if found is None else float(found)


def kind_of(request: JobRequest) -> Hashable:
    """What the plan of a request depends on, apart from the prompt's words."""
    repository = request.repository.sha256 if request.repository else None
    files = tuple(sorted({ref.media_type.split("/")[0] for ref in request.files}))
    asked = (request.space, repository, request.category, request.endpoint, tuple(sorted(request.inputs)))
    return asked, files, request.tier, request.privacy, request.fallback, not request.prompt.strip()
