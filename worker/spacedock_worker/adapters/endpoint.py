"""What can be called in a running app of whatever kind: endpoints, and the slots that they take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class InputSlot:
    """One input that a caller may fill; `position` is its place in what is sent.

    `component` is Gradio's name for what a person would see there. `choices` are (label, value) pairs;
    `many` says that it takes a list; `accepts` are the file types that it names (".pdf", "image"), empty for
    any. `wrapped` is the key of the object that a file goes into ("video" in Gradio 5), `beside` what that
    object has else. `blank` says that a page has the slot, and sends it empty where nobody fills it. A number
    is refused below `least` and above `most`.
    """

    name: str
    label: str
    component: str
    position: int
    required: bool
    default: Any = None
    choices: tuple[tuple[str, Any], ...] = ()
    custom: bool = False
    many: bool = False
    accepts: tuple[str, ...] = ()
    wrapped: str = ""
    beside: Mapping[str, Any] = field(default_factory=dict)
    blank: bool = False
    least: float | None = None
    most: float | None = None

    def __str__(self) -> str:
        return f"{self.name}: {self.component}{'' if self.required else ' = default'}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One function of the app.

    `width` is the length of what is sent; `outputs` are component types by position, None where a State
    stands, which no caller sees. `trigger` has the words on the button that calls it, `pressed` says that a
    person calls it on purpose (a click, the enter key) and not by the way (a change, a page that loads), and
    `twin` names the endpoint that does the same. `leads` says that its answer goes into a State, and that
    what follows it on the page shows it. `example` are values for its inputs that the app offers itself
    (None: it offers none).
    """

    name: str
    slots: tuple[InputSlot, ...]
    width: int
    outputs: tuple[str | None, ...]
    visible: bool = True
    stateful: bool = False
    chained: bool = False
    trigger: str = ""
    pressed: bool = True
    primary: bool = False
    twin: str | None = None
    leads: bool = False
    example: Mapping[str, Any] | None = None

    def __str__(self) -> str:
        called = f' by "{self.trigger}"' if self.trigger else ""
        return f"{self.name}({', '.join(map(str, self.slots))}){called}"


def signature(endpoints: Iterable[Endpoint]) -> tuple[str, ...]:
    """A line for each endpoint, sorted: its name, its slots with their components, its outputs.

    Defaults, choices and words on buttons are left out: a caller does not break by them.
    """
    return tuple(sorted(_line(endpoint) for endpoint in endpoints))


def _line(endpoint: Endpoint) -> str:
    slots = ", ".join(f"{slot.name}: {slot.component}" for slot in endpoint.slots)
    outputs = ", ".join(output or "state" for output in endpoint.outputs)
    return f"{endpoint.name}({slots}) -> {outputs or 'nothing'}"
