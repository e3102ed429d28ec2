"""The options that several subcommands share, and what their values mean."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from spacedock._wire.lanes import Priority
from spacedock._wire.retention import check_keep, seconds_of
from spacedock.errors import BadRequestError
from spacedock.request import Fallback, Tier

Redis = Annotated[
    str | None,
    typer.Option("--redis", metavar="URL", help="The Redis to use; without it this machine's own daemon."),
]
Space = Annotated[
    str | None,
    typer.Option(
        "--space",
        "-s",
        "--hf-space",
        metavar="NAME",
        help="A registry name, a Hub id (user/space) or ./directory.",
    ),
]
Category = Annotated[
    str | None, typer.Option("--category", metavar="NAME", help="Any Space of this category may answer.")
]
FilesOption = Annotated[
    list[Path] | None, typer.Option("--file", "-f", metavar="PATH", help="A file to send along; repeatable.")
]
Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input", "-i", metavar="NAME=VALUE", help="An input of the endpoint by its name; repeatable."
    ),
]
OptionalInputs = Annotated[
    list[str] | None,
    typer.Option(
        "--optional-input",
        metavar="NAME=VALUE",
        help="An input that counts where the endpoint or the model has it; JSON, or a text; repeatable.",
    ),
]
EndpointOption = Annotated[
    str | None, typer.Option("--endpoint", metavar="/NAME", help="The endpoint to call, if not the best fit.")
]
Timeout = Annotated[
    float,
    typer.Option("--timeout", metavar="S", help="Seconds for one execution (not for building or starting)."),
]
PriorityOption = Annotated[
    Priority,
    typer.Option("--priority", help="Its share while others wait: 16, 4 or 1.", show_default=True),
]
NoFallback = Annotated[
    bool, typer.Option("--no-fallback", help="Fail rather than let another Space or a model answer.")
]
AllowDegraded = Annotated[
    bool,
    typer.Option(
        "--allow-degraded",
        help="Take degraded answers for good, also where the host turns out to start no Space.",
    ),
]
TierOption = Annotated[
    Tier,
    typer.Option("--tier", help="heavy: Spaces; fast: Tier 1 models; default: SmolLM.", show_default=True),
]
Privacy = Annotated[
    bool,
    typer.Option(
        "--privacy",
        "--privacy-mode",
        help="Sealed from the network, only local models, nothing logged, deleted once it is read.",
    ),
]
PerformanceFirst = Annotated[
    bool, typer.Option("--performance-first", help="A Space that is warm and fast before the best one.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print what would be done, and why, and do none of it.")
]
Verbose = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="Tell the plan first, then each step as it happens."),
]
Keep = Annotated[
    bool, typer.Option("--keep", help="Keep the result of a job in privacy mode after it is read.")
]
KeepFor = Annotated[
    str | None,
    typer.Option(
        "--keep-for",
        metavar="TIME",
        help="How long the result and its files are kept after the end: 2h, 7d; at most 30d.",
    ),
]
CallbackOption = Annotated[
    str | None,
    typer.Option("--callback", metavar="URL", help="Who hears of the end, by a webhook."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
OutputDir = Annotated[
    Path | None, typer.Option("--output-dir", "-d", metavar="DIR", help="Where to save the answer's files.")
]


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """The command with an option for each field of the one parameter that is a dataclass of options."""
    signature = inspect.signature(command, eval_str=True)
    [group] = [one for one in signature.parameters.values() if is_dataclass(one.annotation)]
    inner = inspect.signature(group.annotation, eval_str=True).parameters

    @wraps(command)
    def with_fields(**given: Any) -> None:
        values = {name: given.pop(name) for name in inner}
        command(**given, **{group.name: group.annotation(**values)})

    shown = [
        one for own in signature.parameters.values() for one in (inner.values() if own is group else (own,))
    ]
    # Typer reads the one for the options, and the other for their types.
    vars(with_fields)["__signature__"] = signature.replace(parameters=shown)
    with_fields.__annotations__ = {one.name: one.annotation for one in shown}
    return with_fields


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """The options that say how a request is answered: by whom, within what time, how private."""

    category: Category = None
    inputs: Inputs = None
    optional_inputs: OptionalInputs = None
    endpoint: EndpointOption = None
    timeout: Timeout = 300.0
    no_fallback: NoFallback = False
    tier: TierOption = Tier.AUTO
    privacy: Privacy = False
    performance_first: PerformanceFirst = False
    priority: PriorityOption = Priority.NORMAL
    keep_for: KeepFor = None

    def fields(self) -> dict[str, Any]:
        """The fields of the request. Raises BadRequestError."""
        found = {one.name: getattr(self, one.name) for one in fields(self)}
        found["inputs"] = inputs_of(self.inputs)
        optional = pairs_of("--optional-input", self.optional_inputs)
        found["optional_inputs"] = {name: _json_or_text(text) for name, text in optional.items()}
        found["keep_for"] = None if self.keep_for is None else _keep_for(self.keep_for)
        found["fallback"] = Fallback.NONE if found.pop("no_fallback") else Fallback.CHAIN
        return found


USUAL = RequestOptions()


def _keep_for(text: str) -> float:
    try:
        return check_keep(seconds_of(text))
    except (BadRequestError, ValueError) as error:
        raise BadRequestError(f"--keep-for {text}: {error}") from None


def _json_or_text(text: str) -> Any:
    # A model's server takes numbers as numbers alone.
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def inputs_of(texts: list[str] | None) -> dict[str, str]:
    """The values of --input by their names. Raises BadRequestError."""
    return pairs_of("--input", texts)


def pairs_of(option: str, texts: list[str] | None) -> dict[str, str]:
    """The values of an option that is given as NAME=VALUE, by their names. Raises BadRequestError."""
    return dict(_pair(option, text) for text in texts or ())


def _pair(option: str, text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise BadRequestError(f"{option} {text}: give it as NAME=VALUE, such as {option} steps=4")
    return name, value
