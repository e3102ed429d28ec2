"""`spacedock tiers`: how this host, its Spaces, its models and the queue stand."""

from __future__ import annotations

from collections.abc import Iterator

from spacedock.cli import options
from spacedock.cli.output.text import printable, wrapped, write, write_json
from spacedock.cli.output.units import age, size
from spacedock.cli.preflight import asked
from spacedock.replies.host import HostRow, LimitsRow, ModelRow, QueueRow, SpacesTier, TiersReply

_INDENT = 14
_STATES = {
    "ready": "ready",
    "loading": "loading its model",
    "resting": "there; its model is loaded at its first use",
    "absent": "not there",
}
_GIGABYTE = 2**30


def tiers(json: options.Json = False, redis: options.Redis = None) -> None:
    """Show the tiers: the Spaces of this host, its fast models, the system default, and their limits."""
    found = asked(redis, lambda client: client.tiers())
    if json:
        write_json(found)
    else:
        write("\n".join(lines(found)))


def lines(found: TiersReply) -> list[str]:
    """All of it for people, within 80 columns."""
    said = [*_host(found["host"]), *_spaces(found["spaces"]), *_fast(found["models"])]
    said += ["System default (SmolLM)", *_default(found["default"])]
    return [*said, *_queue(found["redis"]), *_limits(found["limits"])]


def _host(host: HostRow) -> Iterator[str]:
    engine, memory, disk = host["engine"], host["memory"], host["disk"]
    count = host["workers"]
    yield printable(f"This host: {host['name']}")
    yield from _row("workers", "not known" if count is None else f"{count} alive")
    version = f"Docker Engine {engine['version']} ({engine['platform']})"
    yield from _row("engine", engine["trouble"] or version)
    if engine["fault"]:
        yield from _row("fault", f"this host starts no Space: {engine['fault']}")
    if memory["budget"] is not None:
        yield from _row("memory", f"{_gb(memory['free'])} of {_gb(memory['budget'])} free for containers")
    if disk["free"] is not None:
        yield from _row("disk", f"{size(disk['free'])} free at {disk['folder']}")
    gpus = [f"{gpu['index']}: {_gb(gpu['free'])} of {_gb(gpu['total'])} free" for gpu in host["gpus"]]
    yield from _row("GPUs", ", ".join(gpus) or "none")


def _spaces(spaces: SpacesTier) -> Iterator[str]:
    yield "Tier 2 (heavy): Spaces"
    words = f"{spaces['registered']} in the registry, {spaces['validated']} validated"
    yield from _row("Spaces", f"{words}, {spaces['not_working']} found not to work")
    if spaces["images"] is not None:
        yield from _row("images", f"{spaces['images']} of them here")
    counts = ", ".join(f"{count} {state}" for state, count in spaces["containers"].items() if count)
    slots = spaces["slots"]
    yield from _row("containers", f"{counts or 'none'}; {slots['taken']} of {slots['all']} slots taken")
    for name, one in spaces["quarantined"].items():
        yield from _row("quarantined", f"{name}, {age(one['for'])} to go: {one['reason']}")


def _fast(models: list[ModelRow]) -> Iterator[str]:
    yield "Tier 1 (fast): language models"
    for model in models:
        yield from _row(model["name"], _model(model))
    if not models:
        yield from _row("none", "none is configured, and none runs at the usual addresses")


def _default(model: ModelRow | None) -> Iterator[str]:
    if model is None:
        yield from _row("none", "there is none: no job can fall back on it")
    else:
        yield from _row(model["name"], _model(model))


def _model(model: ModelRow) -> str:
    state = _STATES.get(model["state"], model["state"])
    why = f": {model['why']}" if model["why"] else ""
    name = f"{model['model']}, " if model["model"] else ""
    where = "local" if model["local"] else "not local"
    others = len(model["models"]) - 1
    more = f", {others} more model{'' if others == 1 else 's'}" if others > 0 else ""
    return f"{name}{state}{why} ({where}{more})"


def _queue(redis: QueueRow) -> Iterator[str]:
    yield "Redis"
    count = redis["queue"]
    jobs = "" if count is None else f", {count} job{'' if count == 1 else 's'} waiting or running"
    yield from _row("queue", ("connected" if redis["connected"] else "no answer") + jobs)
    if files := redis["files"]:
        free = "" if files["free"] is None else f", {size(files['free'])} free"
        yield from _row("large files", f"{files['at']}{free}" + (f": {files['why']}" if files["why"] else ""))


def _limits(limits: LimitsRow) -> Iterator[str]:
    yield "Limits"
    yield from _row("a call", f"{limits['call_seconds']:g} s, unless its job says otherwise")
    got = f"{limits['pull_seconds']:g} s to pull, {limits['build_seconds']:g} s to build"
    yield from _row("before it", f"{got}, {limits['start_seconds']:g} s to start")
    cpus = f"{limits['cpus']:g} CPUs" if limits["cpus"] else "all CPUs"
    each = f"{_gb(limits['memory'])} of memory, {size(limits['disk'])} of disk, {cpus}"
    yield from _row("a container", f"{each}, {limits['pids']} processes, network {limits['network']}")


def _row(name: str, text: str) -> list[str]:
    return wrapped(f"  {printable(name)} ", text, _INDENT)


def _gb(count: int | None) -> str:
    return "?" if count is None else f"{count / _GIGABYTE:.1f} GB"
