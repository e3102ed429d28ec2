"""`/config` and `/info` as Gradio 3.35 to 6 send them, as far as they are used; both are untrusted."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

WEBSOCKET = "ws"
"""The protocol of Gradio 3, whose `/config` names none."""


# Far above any page that people use, and low enough that reading one takes no time.
MAX_COMPONENTS, MAX_FUNCTIONS, MAX_SLOTS = 20_000, 4_000, 500
# The inputs and outputs of all functions together; those of the functions after that are left out.
MAX_PLACES = 40_000
MAX_CHOICES, MAX_FILE_TYPES, MAX_PREFIX = 10_000, 100, 200

_FALSE = re.compile(r"[Ff]alse(_\d+)?")


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Component(_Wire):
    """One component of the page."""

    id: int
    type: str
    props: dict[str, Any] = Field(default_factory=dict)
    skip_api: bool | None = None
    api_info: dict[str, Any] | None = None
    api_info_as_input: dict[str, Any] | None = None

    @property
    def hidden(self) -> bool:
        """Whether no caller sees it: a State."""
        return self.type in ("state", "browserstate") or bool(self.skip_api)

    @property
    def axes(self) -> dict[str, str]:
        """The columns that a plot of a table has on its axes."""
        columns = (
            {axis: self.props.get(axis) for axis in ("x", "y", "color")} if self.type == "nativeplot" else {}
        )
        return {axis: column for axis, column in columns.items() if isinstance(column, str)}

    @property
    def unseen_button(self) -> bool:
        """Whether it is a button that nobody can press."""
        return self.type == "button" and self.invisible

    @property
    def invisible(self) -> bool:
        """Whether the page does not show it at first."""
        return self.props.get("visible") in (False, "hidden")

    @cached_property
    def choices(self) -> tuple[tuple[str, Any], ...]:
        """Its (label, value) pairs: many functions may read the same component."""
        choices = self.props.get("choices")
        if not isinstance(choices, list):
            return ()
        pairs = (c if isinstance(c, list) and len(c) == 2 else [c, c] for c in choices[:MAX_CHOICES])
        return tuple((str(label), value) for label, value in pairs)

    @cached_property
    def file_types(self) -> tuple[str, ...]:
        """The file types that it names, in lower case."""
        types = self.props.get("file_types")
        if not isinstance(types, list):
            return ()
        return tuple(kind.lower() for kind in types[:MAX_FILE_TYPES] if isinstance(kind, str))

    def text(self, prop: str) -> str:
        """A property that people read; empty where it is none."""
        value = self.props.get(prop)
        return value if isinstance(value, str) else ""


class Dependency(_Wire):
    """One event of the page: what triggers it, and which components its function reads and writes."""

    id: int | None = None
    targets: list[Any] = Field(default_factory=list, max_length=MAX_SLOTS)
    trigger: str | None = None
    api_name: str | bool | None = None
    inputs: list[int] = Field(default_factory=list, max_length=MAX_SLOTS)
    outputs: list[int] = Field(default_factory=list, max_length=MAX_SLOTS)
    backend_fn: bool = True
    queue: bool | None = None
    batch: bool = False
    show_api: bool = True
    api_visibility: str = "public"
    trigger_after: int | None = None
    trigger_only_on_failure: bool = False
    types: dict[str, Any] = Field(default_factory=dict)

    @property
    def callable(self) -> bool:
        """Whether there is a function of the server's to call. The page calls what its API hides, too."""
        return self.backend_fn and not self.types.get("cancel")

    @property
    def name(self) -> str | None:
        """The name that the app gives it; False, or what some versions make of False, is none."""
        name = self.api_name
        return name if isinstance(name, str) and name and not _FALSE.fullmatch(name) else None

    @property
    def visible(self) -> bool:
        """Whether the app shows it as part of its API. In Gradio 3 most events have no name."""
        hidden = self.api_name is False or (bool(self.api_name) and self.name is None)
        return self.show_api and self.api_visibility == "public" and not hidden

    @property
    def events(self) -> list[tuple[int | None, str]]:
        """The components that trigger it (None: the page itself) with the event's name, such as "click"."""
        pairs = [target if isinstance(target, list) else [target, self.trigger] for target in self.targets]
        return [
            (pair[0] if isinstance(pair[0], int) else None, str(pair[1] or ""))
            for pair in pairs
            if len(pair) == 2
        ]


class Config(_Wire):
    """The page."""

    version: str = "unknown"
    protocol: str = WEBSOCKET
    api_prefix: str = Field(default="", max_length=MAX_PREFIX)
    enable_queue: bool = True
    components: list[Component] = Field(default_factory=list, max_length=MAX_COMPONENTS)
    dependencies: list[Dependency] = Field(max_length=MAX_FUNCTIONS)

    @field_validator("enable_queue", mode="before")
    @classmethod
    def _queued_unless_said(cls, value: object) -> object:
        return True if value is None else value


class ParameterInfo(_Wire):
    """One parameter of an endpoint, as `/info` tells it."""

    parameter_name: str | None = None
    parameter_has_default: bool | None = None
    parameter_default: Any = None
    type: Any = None


class EndpointInfo(_Wire):
    """One endpoint, as `/info` tells it."""

    parameters: list[ParameterInfo] = Field(default_factory=list)


class Info(_Wire):
    """The page's API in its own words."""

    named_endpoints: dict[str, EndpointInfo] = Field(default_factory=dict)
    unnamed_endpoints: dict[str, EndpointInfo] = Field(default_factory=dict)
