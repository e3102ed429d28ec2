"""The examples that a Gradio page offers for the inputs of its functions (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from spacedock_worker.adapters.binding import kinds
from spacedock_worker.adapters.endpoint import Endpoint
from spacedock_worker.adapters.gradio.wire import Config

_MOST = 20
_LONGEST = 2_000
"""Characters of a text that is taken for an example."""


def with_example(
    endpoint: Endpoint, inputs: tuple[int, ...], rows: tuple[Mapping[int, Any], ...]
) -> Endpoint:
    """The endpoint with the first example that fills it; `inputs` are the components that it reads.

    Files of examples are left out: they are on the app's own disk.
    """
    found = (_values(endpoint, inputs, row) for row in rows)
    example = next((values for values in found if values), None)
    return replace(endpoint, example=example) if example else endpoint


def first_rows(known: Config) -> tuple[Mapping[int, Any], ...]:
    """The first row of each table of examples, as the values that a click on it gives to components."""
    return tuple(islice(_rows(known), _MOST))


def _rows(known: Config) -> Iterator[Mapping[int, Any]]:
    tables = {c.id: c.props.get("samples") for c in known.components if c.type == "dataset"}
    for dependency in known.dependencies:
        samples = tables.get(dependency.inputs[0]) if len(dependency.inputs) == 1 else None
        if isinstance(samples, list) and samples:
            row = samples[0] if isinstance(samples[0], list) else [samples[0]]
            # Examples that were computed beforehand go on with their results.
            yield dict(zip(dependency.outputs, row, strict=False))


def _values(endpoint: Endpoint, inputs: tuple[int, ...], row: Mapping[int, Any]) -> dict[str, Any] | None:
    """The example's values by the endpoint's inputs; None where it leaves one open that needs a value."""
    values = {}
    for slot in endpoint.slots:
        value = row.get(inputs[slot.position])
        if kinds.takes_files(slot):
            continue
        if _is_plain(value):
            values[slot.name] = value
        elif slot.required:
            return None
    return values


def _is_plain(value: object) -> bool:
    return isinstance(value, bool | int | float) or (isinstance(value, str) and 0 < len(value) <= _LONGEST)
