"""What a Gradio app says about itself in `/config` and `/info`, as frozen values; both are untrusted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog
from pydantic import ValidationError

from spacedock_worker.adapters.binding import kinds
from spacedock_worker.adapters.endpoint import Endpoint
from spacedock_worker.adapters.faults import bad_output, shortened
from spacedock_worker.adapters.gradio.relations import MAX_NAME, Relations, leading, relations_of
from spacedock_worker.adapters.gradio.rendering import Axes
from spacedock_worker.adapters.gradio.slots import first_rows, slot_of, with_example
from spacedock_worker.adapters.gradio.wire import (
    MAX_PLACES,
    WEBSOCKET,
    Component,
    Config,
    Dependency,
    Info,
    ParameterInfo,
)

log = structlog.get_logger()

PREFIX = re.compile(r"(/[A-Za-z0-9._-]+)*")
NUMBERED = re.compile(r"^(.*?)_\d+$")
# What a person does on purpose, by Gradio's names of events.
PRESSED = frozenset({"click", "submit", "upload", "stop_recording"})


@dataclass(frozen=True, slots=True)
class Function:
    """One function of the app: how to call it beside what to send. `queue` is None where the app decides.

    `inputs` and `outputs` are the components of the page that it reads and writes, `followers` the
    functions that the page calls after it, `chain` those of them that come next in its chain. `page` is the
    function that the page calls in its place, where this one is for callers alone. `axes` are those of plots
    among its outputs, by position.
    """

    endpoint: Endpoint
    fn_index: int
    queue: bool | None = None
    generator: bool = False
    batch: bool = False
    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    followers: tuple[int, ...] = ()
    chain: tuple[int, ...] = ()
    page: int | None = None
    axes: tuple[Axes, ...] = ()


@dataclass(frozen=True, slots=True)
class App:
    """A running app: its version, the protocol of its queue ("ws", "sse", "sse_v1" …), the prefix of its
    routes, and its functions by the names of their endpoints; `queued` says whether it has a queue at all."""

    version: str
    protocol: str
    prefix: str
    queued: bool
    functions: Mapping[str, Function]

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """What can be called."""
        return tuple(function.endpoint for function in self.functions.values())

    def numbered(self, fn_index: int) -> Function | None:
        """The function of that number."""
        return next((one for one in self.functions.values() if one.fn_index == fn_index), None)

    @property
    def old_files(self) -> bool:
        """Whether files go in and out in the shapes of Gradio 3."""
        return self.protocol == WEBSOCKET


def describe(config: object, info: object | None) -> App:
    """Read `/config`, and `/info` where the app has it (it fails in some apps, whose components must do).

    Raises StepError of kind `bad_output` where they are not what Gradio sends.
    """
    try:
        known = Config.model_validate(config)
        told = Info.model_validate(info) if info is not None else Info()
        return _app(known, told)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise bad_output(f"the app's description is not Gradio's: {where}: {first['msg']}") from error
    except RecursionError as error:
        raise bad_output("the app's description is nested too deeply") from error


def _app(known: Config, told: Info) -> App:
    components = {component.id: component for component in known.components}
    numbered = [
        (dependency.id if dependency.id is not None else index, dependency)
        for index, dependency in _first(known.dependencies)
        if dependency.callable
    ]
    states = frozenset(component.id for component in known.components if component.hidden)
    unseen = frozenset(component.id for component in known.components if component.unseen_button)
    invisible = frozenset(component.id for component in known.components if component.invisible)
    related = relations_of(numbered, states, unseen)
    rows = _rows_of(numbered, told)
    found = [
        (_function(number, dependency, components, rows.get(number, []), related), dependency)
        for number, dependency in numbered
    ]
    examples = first_rows(known)
    functions = {
        function.endpoint.name: replace(
            function, endpoint=with_example(function.endpoint, function.inputs, examples)
        )
        for function in _with_twins(_with_leads(found, invisible))
    }
    prefix = known.api_prefix if PREFIX.fullmatch(known.api_prefix) else ""
    return App(
        shortened(known.version, 40), shortened(known.protocol, 40), prefix, known.enable_queue, functions
    )


def _rows_of(numbered: Sequence[tuple[int, Dependency]], told: Info) -> dict[int, Sequence[ParameterInfo]]:
    """What `/info` tells about each function's parameters: of two with one name, about the last shown."""
    owners: dict[str, int] = {}
    for number, dependency in sorted(numbered, key=lambda pair: pair[1].visible):
        owners[f"/{dependency.name}" if dependency.name else str(number)] = number
    every = {**told.unnamed_endpoints, **told.named_endpoints}
    return {number: every[key].parameters for key, number in owners.items() if key in every}


def _first(dependencies: Sequence[Dependency]) -> Iterator[tuple[int, Dependency]]:
    """Each with its number, as long as their inputs and outputs together are not too many to look through."""
    left = MAX_PLACES
    for index, dependency in enumerate(dependencies):
        left -= len(dependency.inputs) + len(dependency.outputs)
        if left < 0:
            log.info("gradio.functions_left_out", count=len(dependencies) - index)
            return
        yield index, dependency


def _function(
    number: int,
    dependency: Dependency,
    components: Mapping[int, Component],
    rows: Sequence[ParameterInfo],
    related: Relations,
) -> Function:
    endpoint = _endpoint(related.names[number], dependency, components, rows, related.events[number])
    generator = bool(dependency.types.get("generator") or dependency.types.get("continuous"))
    return Function(
        endpoint,
        number,
        dependency.queue,
        generator,
        dependency.batch,
        tuple(dependency.inputs),
        tuple(dependency.outputs),
        related.followers[number],
        related.chains[number],
        related.pages.get(number),
        tuple(components[i].axes if i in components else {} for i in dependency.outputs),
    )


def _endpoint(
    name: str,
    dependency: Dependency,
    components: Mapping[int, Component],
    rows: Sequence[ParameterInfo],
    called: Sequence[tuple[int | None, str]],
) -> Endpoint:
    inputs = [components.get(i) for i in dependency.inputs]
    shown = [(place, c) for place, c in enumerate(inputs) if c is not None and not c.hidden]
    # `/info` lists the inputs without the States: only where the counts agree do its rows belong to ours.
    parameters = rows if len(rows) == len(shown) else [None] * len(shown)
    slots = tuple(
        slot_of(place, component, parameter)
        for (place, component), parameter in zip(shown, parameters, strict=True)
    )
    events = [(components.get(i) if i is not None else None, event) for i, event in called]
    buttons = [c for c, event in events if c is not None and c.type == "button" and event == "click"]
    return Endpoint(
        name=name,
        slots=slots,
        width=len(inputs),
        outputs=tuple(_output(components.get(i)) for i in dependency.outputs),
        visible=dependency.visible,
        stateful=len(slots) < len(inputs),
        chained=dependency.trigger_after is not None,
        trigger=shortened(buttons[0].text("value"), MAX_NAME) if buttons else "",
        pressed=not events or any(event in PRESSED for _, event in events),
        primary=any(c.props.get("variant") == "primary" for c in buttons),
    )


def _with_leads(
    found: Sequence[tuple[Function, Dependency]], invisible: frozenset[int]
) -> list[tuple[Function, Dependency]]:
    """The functions; marked are those that fill States or unseen boxes, and whose follower answers."""
    functions = [function for function, _ in found]
    followers = {function.fn_index: function.followers for function in functions}
    reads = {function.fn_index: set(function.inputs) for function in functions}
    between = {
        function.fn_index
        for function in functions
        if function.outputs and invisible.issuperset(function.outputs)
        if any(reads.get(number, set()).intersection(function.outputs) for number in function.followers)
    }
    gives = {function.fn_index for function in functions if kinds.gives_answer(function.endpoint)}
    fills = {function.fn_index for function in functions if None in function.endpoint.outputs}
    shown, hidden = gives - between, between | (fills - gives)
    leads = leading(shown, hidden, followers)
    return [
        (replace(function, endpoint=replace(function.endpoint, leads=True)), dependency)
        if function.fn_index in leads
        else (function, dependency)
        for function, dependency in found
    ]


def _with_twins(found: Sequence[tuple[Function, Dependency]]) -> list[Function]:
    """The functions, each with the other that it repeats: one that is bound to a button and to the enter key.

    Gradio numbers the second name; where there is no name, the second is called by the enter key in one of
    its own inputs.
    """
    alike: dict[tuple[tuple[int, ...], tuple[int, ...]], dict[str, Function]] = {}
    for function, _ in found:
        alike.setdefault((function.inputs, function.outputs), {})[function.endpoint.name] = function
    return [
        replace(
            function,
            endpoint=replace(
                function.endpoint,
                twin=_twin(function, dependency, alike[function.inputs, function.outputs]),
            ),
        )
        for function, dependency in found
    ]


def _twin(function: Function, dependency: Dependency, alike: Mapping[str, Function]) -> str | None:
    name = function.endpoint.name
    if (numbered := NUMBERED.match(name)) and numbered[1] in alike:
        return numbered[1]
    entered = any(i in dependency.inputs and event == "submit" for i, event in dependency.events)
    if dependency.name or not entered:
        return None
    return next((other for other, beside in alike.items() if other != name and beside.endpoint.trigger), None)


def _output(component: Component | None) -> str | None:
    return None if component is None or component.hidden else component.type
