"""One call to a test Space and what must come back: the same on every Gradio that can express it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from spacedock_worker.adapters.base import AppAnswer

VERSIONS = ("3.35.2", "3.50.2", "4.8.0", "4.44.1", "5.50.0", "6.31.0")


@dataclass(frozen=True, slots=True)
class Upload:
    """A file among the arguments for gradio_client: a fixture by its name, sent in that client's way."""

    name: str


@dataclass(frozen=True, slots=True)
class Official:
    """The same call by gradio_client, which knows its endpoint beforehand.

    `api_name` is the endpoint's name on Gradio 4 and 5 and `six` on 6, where an Interface is named after its
    function; `fn_index` stands in where there is no name. `args` go by position (`six_args` on 6, where a
    shape differs); Uploads may stand in lists and dicts. `check` judges what predict returned; None: it must
    be the case's text.
    """

    args: tuple[Any, ...] = ()
    api_name: str | None = None
    six: str | None = None
    fn_index: int | None = None
    check: Callable[[Any], bool] | None = None
    six_args: tuple[Any, ...] | None = None

    def endpoint(self, version: str) -> str | None:
        """The name to call on a version, None where only `fn_index` says it."""
        return self.six if self.six and version.startswith("6.") else self.api_name

    def arguments(self, version: str) -> tuple[Any, ...]:
        """What to send on a version."""
        return self.args if self.six_args is None or not version.startswith("6.") else self.six_args


@dataclass(frozen=True, slots=True)
class Case:
    """A call as a user makes it, and its answer.

    `name` says in a few words what it shows. `files` are names in tests/spaces/fixtures. `endpoint` is None
    wherever a user would not name it: the choice must find it. Then one of: `text`, the answer's exact text;
    `check`, for all that is not text; `error`, a part of the message of a StepError of kind `app_error`.
    `lacks` says for each version that cannot express the call why not; `auth` is the app's user and password.
    """

    space: str
    name: str
    prompt: str = ""
    files: tuple[str, ...] = ()
    inputs: Mapping[str, Any] = field(default_factory=dict)
    endpoint: str | None = None
    text: str | None = None
    check: Callable[[AppAnswer], bool] | None = None
    error: str | None = None
    lacks: Mapping[str, str] = field(default_factory=dict)
    official: Official | None = None
    auth: tuple[str, str] | None = None

    @property
    def id(self) -> str:
        """The case in a test's name."""
        return f"{self.space}-{self.name.replace(' ', '-')}"
