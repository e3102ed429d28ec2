"""`spacedock spaces show user/space`: what the Hub says of a Space, and what is here of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from spacedock.cli import options, preflight
from spacedock.cli.exit_codes import FAILED
from spacedock.cli.output.deliver import follow
from spacedock.cli.output.text import printable, say, show_failure, wrapped, write, write_json
from spacedock.cli.output.units import size
from spacedock.cli.preflight import asked
from spacedock.client import Client
from spacedock.errors import SpaceNotFoundError
from spacedock.files import Payload
from spacedock.prepare import hub_id_of, prepare
from spacedock.replies.spaces import AboutReply, HubImage, HubRow
from spacedock.request import Fallback, JobRequest, Tier
from spacedock.result import JobResult

_HEAD = 12


def show_space(name: str, *, hub: bool, json: bool, redis: str | None) -> None:
    """Print the registry's entry as JSON; of a Space that it lacks, or with `hub`, what the Hub says."""
    entry, about = asked(redis, lambda client: _known(client, hub_id_of(name), hub))
    if about is None or json:
        write_json(entry if about is None else about)
        return
    write("\n".join(lines(about)))
    if about["note"]:
        say(about["note"])


async def _known(client: Client, name: str, hub: bool) -> tuple[dict[str, Any], AboutReply | None]:
    if not hub:
        try:
            entry, here = await client.spaces.status(name)
            return {**entry, "here": here}, None
        except SpaceNotFoundError:
            if "/" not in name:
                raise
    return {}, await client.spaces.about(name)


def lines(about: AboutReply) -> Iterator[str]:
    """The Space for people, within 80 columns; what is not known is left out."""
    space, image = about["space"], about["image"]
    yield printable(str(space["id"]))
    for head, text in (*_facts(space), ("image", _image(image)), *_endpoints(about["endpoints"])):
        if text:
            yield from wrapped(f"  {head}", text, _HEAD)
    where = space["name"] or "not in the registry yet: its first job adds it"
    yield from wrapped("  here as", where, _HEAD)


def _facts(space: HubRow) -> Iterator[tuple[str, str]]:
    sure = f" ({space['confidence']:.0%} sure: {space['reason']})" if space["confidence"] else " (a guess)"
    closed = [word for word in ("private", "gated") if space[word]]
    yield "title", space["title"]
    yield "does", space["description"] if space["description"] != space["title"] else ""
    yield "category", space["category"] + sure
    yield "types", f"{space['input_type']} -> {space['output_type']}"
    yield "sdk", space["sdk"] or ""
    yield "hardware", f"{space['hardware']} on the Hub" if space["hardware"] else ""
    yield "stage", f"{space['stage']} on the Hub" if space["stage"] else ""
    yield "access", ", ".join(closed)
    yield "likes", str(space["likes"])
    yield "licence", space["license"] or "not said"
    yield "changed", (space["last_modified"] or "")[:10]
    yield "commit", (space["sha"] or "")[:12]
    yield "secrets", ", ".join(space["secrets"]) or "none are named in its README and code"
    yield "models", ", ".join(space["models"])
    yield "tags", ", ".join(space["tags"])


def _image(image: HubImage) -> str:
    amount = f", {size(image['size'])} to load" if image["size"] is not None else ""
    reference = f" ({image['reference']})" if image["reference"] else ""
    return f"{image['state']}{amount}: {image['why']}{reference}"


def _endpoints(known: list[str]) -> Iterator[tuple[str, str]]:
    if not known:
        yield "endpoints", "known once it has run here"
    for place, endpoint in enumerate(known):
        yield "" if place else "endpoints", endpoint


SAMPLE_PROMPT = "Hello"


def show_endpoints(
    space: str,
    prompt: str,
    files: list[Path] | None,
    inputs: list[str] | None,
    *,
    json: bool,
    redis: str | None,
) -> None:
    """Have the Space started and print its endpoints, the one that would be called first."""
    if not (prompt or files or inputs):
        prompt = SAMPLE_PROMPT
        say("for a prompt alone: give --prompt, --file or --input to ask about another call")
    fields = {
        "explain": True,
        "tier": Tier.HEAVY,
        "fallback": Fallback.NONE,
        "inputs": options.inputs_of(inputs),
    }
    request, payloads = prepare(prompt, files or (), space, fields)
    result = asked(redis, lambda client: _explained(client, request, payloads))
    if not result.succeeded:
        show_failure(result)
        raise typer.Exit(FAILED)
    if json:
        write_json(result.output.data)
    else:
        write(result.output.text or "")


async def _explained(client: Client, request: JobRequest, payloads: list[Payload]) -> JobResult:
    await preflight.check(client, {request.space} if request.space else set())
    return await follow(client, await client.submit_prepared(request, payloads))
