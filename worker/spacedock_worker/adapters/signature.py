"""What an app can do, in lines that stay the same as long as it does (pure)."""

from __future__ import annotations

from collections.abc import Iterable

from spacedock_worker.adapters.endpoint import Endpoint


def signature(endpoints: Iterable[Endpoint]) -> tuple[str, ...]:
    """A line for each endpoint, sorted: its name, its slots with their components, its outputs.

    Defaults, choices and words on buttons are left out: a caller does not break by them.
    """
    return tuple(sorted(_line(endpoint) for endpoint in endpoints))


def _line(endpoint: Endpoint) -> str:
    slots = ", ".join(f"{slot.name}: {slot.component}" for slot in endpoint.slots)
    outputs = ", ".join(output or "state" for output in endpoint.outputs)
    return f"{endpoint.name}({slots}) -> {outputs or 'nothing'}"
