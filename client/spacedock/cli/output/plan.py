"""What a job would do, for people: its route, each step of its chain, and what is there for it."""

from __future__ import annotations

import json as json_module
from collections.abc import Iterator
from typing import Any

from spacedock.cli.output.text import say, write
from spacedock.cli.output.units import age, size
from spacedock.client import Client
from spacedock.errors import SpacedockError
from spacedock.files import Payload
from spacedock.replies.host import PlanExpected, PlanImage, PlanLimits, PlanReply, PlanRoute, PlanStep
from spacedock.request import JobRequest

_LONGEST = 300
_KIND = {"space": "Space", "model": "model"}


async def show_plan(client: Client, request: JobRequest, payloads: list[Payload], *, json: bool) -> None:
    """Print what would be done, and do none of it. Raises NoWorkerError, BadRequestError."""
    plan = await client.plan(request, payloads)
    if json:
        write(json_module.dumps(plan))
        return
    for line in lines(plan):
        write(line)
    for warning in plan["warnings"]:
        say(f"not found out: {_line(warning)}")


async def say_plan(client: Client, request: JobRequest, payloads: list[Payload]) -> None:
    """Say what is going to be done. A plan that cannot be had is no reason not to run the job."""
    if not await client.workers():
        return
    try:
        plan = await client.plan(request, payloads)
    except SpacedockError as error:
        say(f"no plan: {error}")
        return
    for line in lines(plan):
        say(line)
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
