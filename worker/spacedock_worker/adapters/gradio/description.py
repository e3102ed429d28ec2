"""What a Gradio app says about itself in `/config` and `/info`, as frozen values; both are untrusted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from spacedock_worker.adapters.gradio.faults import bad_output, shortened

MAX_NAME = 100
PREFIX = re.compile(r"(/[A-Za-z0-9._-]+)*")


@dataclass(frozen=True, slots=True)
class Slot:
    """One input that a caller may fill; `position` is its place in the queue's `data`.

    `choices` are (label, value) pairs; `many` says that it takes a list; `accepts` are the file types that
    it names (".pdf", "image"), empty for any; `wrapped` marks Gradio 5's {"video": file} shape.
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
    wrapped: bool = False

    def __str__(self) -> str:
        return f"{self.name}: {self.component}{'' if self.required else ' = default'}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One function of the app. `width` is the length of `data`; `outputs` are component types by position,
    None where a State stands, which no caller sees."""

    name: str
    fn_index: int
    slots: tuple[Slot, ...]
    width: int
    outputs: tuple[str | None, ...]
    visible: bool = True
    stateful: bool = False
    chained: bool = False

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.slots))})"


@dataclass(frozen=True, slots=True)
class App:
    """A running app: its version, the protocol of its queue, the prefix of its routes, its endpoints."""

    version: str
    protocol: str
    prefix: str
    endpoints: tuple[Endpoint, ...]


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Component(_Wire):
    id: int
    type: str
    props: dict[str, Any] = Field(default_factory=dict)
    skip_api: bool | None = None
    api_info: dict[str, Any] = Field(default_factory=dict)
    api_info_as_input: dict[str, Any] | None = None

    @property
    def hidden(self) -> bool:
        return self.type in ("state", "browserstate") if self.skip_api is None else self.skip_api


class _Dependency(_Wire):
    id: int | None = None
    api_name: str | bool | None = None
    inputs: list[int] = Field(default_factory=list)
    outputs: list[int] = Field(default_factory=list)
    backend_fn: bool = True
    show_api: bool = True
    api_visibility: str = "public"
    trigger_after: int | None = None
    types: dict[str, Any] = Field(default_factory=dict)

    @property
    def callable(self) -> bool:
        named = isinstance(self.api_name, str) and bool(self.api_name)
        return named and self.backend_fn and self.api_visibility != "private" and not self.types.get("cancel")

    @property
    def visible(self) -> bool:
        return self.show_api and self.api_visibility == "public"


class _Config(_Wire):
    version: str = "unknown"
    protocol: str = "ws"
    api_prefix: str = ""
    components: list[_Component] = Field(default_factory=list)
    dependencies: list[_Dependency]


class _Parameter(_Wire):
    parameter_name: str | None = None
    parameter_has_default: bool = False
    parameter_default: Any = None
    type: Any = None


class _EndpointInfo(_Wire):
    parameters: list[_Parameter] = Field(default_factory=list)


class _Info(_Wire):
    named_endpoints: dict[str, _EndpointInfo] = Field(default_factory=dict)


def describe(config: object, info: object | None) -> App:
    """Read `/config`, and `/info` where the app has it (it fails in some apps, whose components must do).

    Raises StepError of kind `bad_output` where they are not what Gradio sends.
    """
    try:
        known = _Config.model_validate(config)
        told = _Info.model_validate(info) if info is not None else _Info()
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise bad_output(f"the app's description is not Gradio's: {where}: {first['msg']}") from error
    components = {component.id: component for component in known.components}
    endpoints = tuple(
        _endpoint(index, dependency, components, told.named_endpoints)
        for index, dependency in enumerate(known.dependencies)
        if dependency.callable
    )
    prefix = known.api_prefix if PREFIX.fullmatch(known.api_prefix) else ""
    return App(shortened(known.version, 40), shortened(known.protocol, 40), prefix, endpoints)


def _endpoint(
    index: int,
    dependency: _Dependency,
    components: Mapping[int, _Component],
    told: Mapping[str, _EndpointInfo],
) -> Endpoint:
    name = f"/{dependency.api_name}"
    inputs = [components.get(i) for i in dependency.inputs]
    shown = [(place, c) for place, c in enumerate(inputs) if c is not None and not c.hidden]
    # `/info` lists the inputs without the States: only where the counts agree do its rows belong to ours.
    rows = told[name].parameters if name in told else []
    parameters = rows if len(rows) == len(shown) else [None] * len(shown)
    slots = tuple(
        _slot(place, component, parameter)
        for (place, component), parameter in zip(shown, parameters, strict=True)
    )
    return Endpoint(
        name=name,
        fn_index=dependency.id if dependency.id is not None else index,
        slots=slots,
        width=len(inputs),
        outputs=tuple(_output(components.get(i)) for i in dependency.outputs),
        visible=dependency.visible,
        stateful=len(slots) < len(inputs),
        chained=dependency.trigger_after is not None,
    )


def _output(component: _Component | None) -> str | None:
    return None if component is None or component.hidden else component.type


def _slot(place: int, component: _Component, parameter: _Parameter | None) -> Slot:
    props, schema = component.props, _schema(component, parameter)
    label = shortened(str(props.get("label") or ""), MAX_NAME)
    required, default = _default(component, parameter)
    return Slot(
        name=shortened((parameter and parameter.parameter_name) or label or f"input_{place}", MAX_NAME),
        label=label,
        component=component.type,
        position=place,
        required=required,
        default=default,
        choices=_choices(props.get("choices")),
        custom=bool(props.get("allow_custom_value")),
        many=_takes_many(component),
        accepts=_strings(props.get("file_types")),
        wrapped="video" in (schema.get("properties") or {}),
    )


def _schema(component: _Component, parameter: _Parameter | None) -> Mapping[str, Any]:
    if parameter is not None and isinstance(parameter.type, dict):
        return parameter.type
    return component.api_info_as_input or component.api_info


def _default(component: _Component, parameter: _Parameter | None) -> tuple[bool, Any]:
    if parameter is not None and parameter.parameter_has_default:
        return False, parameter.parameter_default
    value = component.props.get("value")
    return value is None, value


def _choices(choices: object) -> tuple[tuple[str, Any], ...]:
    if not isinstance(choices, list):
        return ()
    pairs = (c if isinstance(c, list) and len(c) == 2 else [c, c] for c in choices)
    return tuple((str(label), value) for label, value in pairs)


def _takes_many(component: _Component) -> bool:
    several = component.props.get("file_count") in ("multiple", "directory")
    return several or component.type == "gallery" or bool(component.props.get("multiselect"))


def _strings(value: object) -> tuple[str, ...]:
    return tuple(v.lower() for v in value if isinstance(v, str)) if isinstance(value, list) else ()
