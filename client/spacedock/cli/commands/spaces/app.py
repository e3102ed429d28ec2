"""`spacedock spaces …`: the registry of the host that answers, and what is there of each Space."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import typer

from spacedock._wire.wire import checked
from spacedock.cli import options
from spacedock.cli.commands.spaces.bench import bench
from spacedock.cli.commands.spaces.collection import export, take_in
from spacedock.cli.commands.spaces.entries import Name, add, update
from spacedock.cli.commands.spaces.lock import bundle, lock, unbundle
from spacedock.cli.commands.spaces.profile import profile
from spacedock.cli.commands.spaces.recommend import recommend
from spacedock.cli.commands.spaces.search import discover, search
from spacedock.cli.commands.spaces.show import show_endpoints, show_space
from spacedock.cli.commands.spaces.validate import named, validate
from spacedock.cli.output import table
from spacedock.cli.output.text import say, write_json
from spacedock.cli.output.units import age, size
from spacedock.cli.preflight import asked
from spacedock.client import Client
from spacedock.replies.spaces import PullReply, SpaceHere, SpacesData

app = typer.Typer(help="The Spaces that can be named.", no_args_is_help=True, rich_markup_mode=None)

_TITLES = ("name", "state", "verified", "category", "takes -> gives", "image", "cache", "description")
_NEVER, _NOT_HERE, _UNKNOWN = "never", "not here", "-"


@app.command("list")
def list_spaces(
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that Spacedock comes with and nobody has used here.")
    ] = False,
    json: options.Json = False,
    redis: options.Redis = None,
) -> None:
    """List the Spaces of the registry: your own and used ones first. JSON always has all."""
    reply = asked(redis, lambda client: client.spaces.list(status=True))
    for warning in reply.warnings:
        say(f"registry: {warning}")
    data = checked(SpacesData, reply.data, "list")
    status = data.get("status", {})
    if json:
        write_json({name: {**entry, "here": status.get(name)} for name, entry in reply.spaces.items()})
    elif not reply.spaces:
        say("the registry is empty: add a Space with `spacedock spaces add NAME --dir ./space`")
    else:
        unused = _unused(reply.spaces, data.get("shipped", ()), status)
        _table(reply.spaces, status, unused, everything=everything)


def _unused(
    spaces: dict[str, dict[str, Any]], shipped: Iterable[str], status: dict[str, SpaceHere]
) -> set[str]:
    """Those that Spacedock comes with, which nobody has changed, validated or run here."""
    return {
        name
        for name in spaces.keys() & set(shipped)
        if verdict(spaces[name]) == _NEVER and state(status.get(name)) in (_NOT_HERE, _UNKNOWN)
    }


def _table(
    spaces: dict[str, dict[str, Any]],
    status: dict[str, SpaceHere],
    unused: set[str],
    *,
    everything: bool,
) -> None:
    """The Spaces, the unused ones last; without `everything` these are one line of talk."""
    shown = sorted(spaces if everything else spaces.keys() - unused, key=lambda name: (name in unused, name))
    if shown:
        table.show(_TITLES, [_cells(name, spaces[name], status.get(name)) for name in shown])
    if unused and not everything:
        count = f"{len(unused)} more" if shown else f"{len(unused)} Spaces"
        say(f"{count} come with Spacedock, none used or validated here: --all lists them")


def _cells(name: str, entry: dict[str, Any], here: SpaceHere | None) -> tuple[str, ...]:
    return (
        name,
        state(here),
        verdict(entry),
        entry["category"],
        f"{entry['input_type']} -> {entry['output_type']}",
        size(here["image_bytes"] if here else None),
        size(here["cache_bytes"] if here else None),
        " ".join(str(entry["description"]).split()),
    )


def verdict(entry: dict[str, Any]) -> str:
    """What the last validation came to, in a word: a Space that was called here was `tried`."""
    verified = entry.get("verified")
    if not isinstance(verified, dict):
        return _NEVER
    if not verified["works"]:
        return "bad"
    return "tried" if verified["deep"] else "ok"


def state(here: SpaceHere | None) -> str:
    """A Space's state for people; a dash where the engine could not be asked."""
    if here is None:
        return _UNKNOWN
    if here["quarantined_for"] is not None:
        return f"quarantined, {age(here['quarantined_for'])} to go"
    return here["state"]


@app.command("show", short_help="Show a Space: what is here, what the Hub says.")
def show(
    name: Annotated[
        str, typer.Argument(help="A registry name, a Hub id (user/space), or with --endpoints ./directory.")
    ],
    hub: Annotated[
        bool, typer.Option("--hub", help="What the Hub says of it, also where the registry has it.")
    ] = False,
    endpoints: Annotated[
        bool, typer.Option("--endpoints", help="Start it, and show which endpoint would be called, and why.")
    ] = False,
    prompt: Annotated[str, typer.Option(help="With --endpoints: for this prompt.")] = "",
    file: options.FilesOption = None,
    inputs: options.Inputs = None,
    json: options.Json = False,
    redis: options.Redis = None,
) -> None:
    """Show one Space's entry and what is there of it, as JSON; or its endpoints, as they would be chosen.

    Of a Space that the registry lacks (user/space) it shows what the Hub says.
    """
    if endpoints:
        show_endpoints(name, prompt, file, inputs, json=json, redis=redis)
    else:
        show_space(name, hub=hub, json=json, redis=redis)


app.command("add", short_help="Add or change a Space.")(add)
app.command("update", short_help="Change a Space's code or entry.")(update)


@app.command("remove", short_help="Remove a Space from the registry.")
def remove(name: Name, redis: options.Redis = None) -> None:
    """Remove a Space from the registry, with its containers and its cache."""
    report = asked(redis, lambda client: client.spaces.remove(name))
    say(f"removed {name}")
    for item in report["items"]:
        what = "its cache" if item["kind"] == "caches" else f"container {item['name']}"
        say(f"removed {what}, {size(item['bytes'])}")
    for reason in report["left"]:
        say(f"left: {reason}")


@app.command("pull", short_help="Get the images of Spaces ahead.")
def pull(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME…", help="Registry names, or Hub ids (user/space).")
    ],
    json: options.Json = False,
    redis: options.Redis = None,
) -> None:
    """Get the images of Spaces ahead of their first jobs, on the host that answers: pulled, else built."""

    async def get(client: Client) -> dict[str, PullReply]:
        got: dict[str, PullReply] = {}
        for name in names:
            row = got[name] = await client.spaces.pull(name, on_progress=named(name))
            say(f"{name}: {row['image']} is here, after {row['seconds']:.1f} s")
        return got

    got = asked(redis, get)
    if json:
        write_json(got)


app.command("search", short_help="Find Spaces by words.")(search)
app.command("discover", short_help="Find the Spaces of a category.")(discover)
app.command("recommend", short_help="Recommend Spaces for a task.")(recommend)
app.command("validate", short_help="Say whether Spaces can run here.")(validate)
app.command("profile", short_help="Show what was measured of a Space.")(profile)
app.command("bench", short_help="Compare Spaces side by side.")(bench)
app.command("lock", short_help="Write spacedock.lock.")(lock)
app.command("bundle", short_help="Write Spaces and images to a file.")(bundle)
app.command("unbundle", short_help="Take the Spaces of a bundle in.")(unbundle)
app.command("export", short_help="Write Spaces to a file to share.")(export)
app.command("import", short_help="Take the Spaces of such a file in.")(take_in)
