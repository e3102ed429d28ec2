"""A pipeline as values: its inputs, its steps, its outputs; the same in YAML, in JSON and in Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from spacedock._wire.retention import seconds_of
from spacedock._wire.wire import describe
from spacedock.errors import BadRequestError
from spacedock.files import MAX_JOB_FILES, FileRef
from spacedock.pipelines.expressions import NAME, Lookup, looked_up_in, lookups, whole
from spacedock.request import SPACE_NAME, Fallback, Tier
from spacedock.result import Output

MAX_STEPS = 100
"""Of a pipeline, with those of the pipelines in it."""

MAX_FAN_OUT = 10_000
"""How many items one step may have."""

_MAX_NAMES = 100
_USUAL_TIMEOUT = 300.0


class InputType(StrEnum):
    """What an input is: a text, a file or several, a list, the rows of a CSV file, or any JSON."""

    TEXT = "text"
    FILE = "file"
    FILES = "files"
    LIST = "list"
    CSV = "csv"
    JSON = "json"


def _several(value: object) -> object:
    return (value,) if isinstance(value, FileRef) else value


_KINDS: dict[InputType, Any] = {
    InputType.TEXT: str,
    InputType.FILE: FileRef,
    InputType.FILES: Annotated[tuple[FileRef, ...], BeforeValidator(_several), Field(max_length=MAX_FAN_OUT)],
    InputType.LIST: Annotated[list[Any], Field(max_length=MAX_FAN_OUT)],
    InputType.CSV: Annotated[list[dict[str, str]], Field(max_length=MAX_FAN_OUT)],
    InputType.JSON: Any,
}


def _readable(value: Any) -> Any:
    for _ in lookups(value):
        pass
    return value


def _is_reference(text: str) -> str:
    if whole(text) is None:
        raise ValueError("it must be one reference and nothing else, such as ${{ inputs.photos }}")
    return text


def _is_condition(text: str) -> str:
    for _ in looked_up_in(text):
        pass
    return text


def _is_space(name: str) -> str:
    if not SPACE_NAME.fullmatch(name):
        how = "a directory becomes one by `spacedock spaces add NAME --dir DIR`"
        raise ValueError(f"'{name}' is neither a name of the registry nor a Hub id: {how}")
    return name


def _seconds(value: object) -> object:
    with suppress(BadRequestError):
        value = seconds_of(value) if isinstance(value, str) else value
    if isinstance(value, bool | str):
        raise ValueError("not a time: write seconds, or such as 90s, 5m or 1h")
    return value


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _typed(value: object) -> object:
    return {"type": value} if isinstance(value, str) else value


Name = Annotated[str, StringConstraints(pattern=f"^{NAME}$", max_length=60)]
Text = Annotated[str, AfterValidator(_readable)]
References = Annotated[
    tuple[Annotated[str, AfterValidator(_is_reference)], ...],
    BeforeValidator(_listed),
    Field(max_length=MAX_JOB_FILES),
]
ForEach = (
    Annotated[str, AfterValidator(_is_reference)] | Annotated[tuple[Any, ...], Field(max_length=MAX_FAN_OUT)]
)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PipelineInput(_Part):
    """What a pipeline is given under one name; without a `default` it must be given."""

    type: InputType
    description: str = ""
    default: Any = None

    @model_validator(mode="after")
    def _default_fits(self) -> Self:
        if self.default is not None:
            if self.type in (InputType.FILE, InputType.FILES):
                raise ValueError("a file has no default: leave it out")
            TypeAdapter(_KINDS[self.type]).validate_python(self.default)
        return self

    @property
    def is_required(self) -> bool:
        """Whether a run must give it."""
        return self.default is None and self.type is not InputType.JSON


_BESIDE_A_PIPELINE = {"pipeline", "inputs", "for_each", "when", "continue_on_error"}


class Step(_Part):
    """One step: whom it asks (just one of `space`, `category`, `tier`, `pipeline`), and what it hands over.

    `prompt`, `files` and `inputs` may look up the pipeline's inputs and what earlier steps gave, in `${{ }}`.
    With `for_each` the step runs once for each item of a list, which is `item` there. It is skipped where
    `when` does not hold. With `continue_on_error` the pipeline goes on without what failed here; with `cache`
    an earlier answer to the same call of the same image is taken again.
    """

    space: Annotated[str, AfterValidator(_is_space)] | None = Field(default=None, max_length=300)
    category: str | None = Field(default=None, max_length=300)
    tier: Tier | None = None
    pipeline: Pipeline | None = None
    endpoint: str | None = Field(default=None, max_length=1000, pattern="^/")
    prompt: Text = ""
    files: References = ()
    inputs: Annotated[dict[str, Any], AfterValidator(_readable)] = Field(default_factory=dict)
    for_each: ForEach | None = None
    when: Annotated[str, AfterValidator(_is_condition)] | None = None
    timeout: Annotated[float, BeforeValidator(_seconds), Field(gt=0, le=86_400)] = _USUAL_TIMEOUT
    fallback: Fallback = Fallback.CHAIN
    privacy: StrictBool = False
    cache: StrictBool = False
    continue_on_error: StrictBool = False

    @model_validator(mode="after")
    def _asks_one(self) -> Self:
        targets = [
            name for name in ("space", "category", "tier", "pipeline") if getattr(self, name) is not None
        ]
        if len(targets) != 1:
            given = f"it has {' and '.join(targets)}" if targets else "it has none"
            raise ValueError(f"a step runs just one of space, category, tier or pipeline: {given}")
        if self.pipeline is not None and (others := self._given - _BESIDE_A_PIPELINE):
            raise ValueError(
                f"a pipeline takes inputs alone: {', '.join(sorted(others))} goes to its own steps"
            )
        if self.pipeline is None and not (self.prompt or self.files or self.inputs or self.endpoint):
            raise ValueError("it asks nothing: give it a prompt, files or inputs")
        if self.privacy and self.cache:
            raise ValueError("privacy keeps no answer, and cache needs one: leave one of them out")
        return self

    @property
    def _given(self) -> set[str]:
        """The fields that are not as usual."""
        usual = {
            name: one.get_default(call_default_factory=True) for name, one in type(self).model_fields.items()
        }
        return {name for name in usual if getattr(self, name) != usual[name]}

    @property
    def looked_up(self) -> Iterator[tuple[str, Lookup]]:
        """Everything that the step looks up, with the field that does."""
        for field in ("prompt", "files", "inputs", "for_each"):
            yield from ((field, one) for one in lookups(getattr(self, field)))
        if self.when is not None:
            yield from (("when", one) for one in looked_up_in(self.when))

    @property
    def target(self) -> str:
        """Whom the step asks, in words."""
        if self.pipeline is not None:
            return f"pipeline {self.pipeline.name}"
        if self.space is not None:
            return self.space
        return f"category {self.category}" if self.category else f"tier {self.tier}"


class Pipeline(_Part):
    """Steps by their names, each after those that it takes from; `outputs` are values by their names."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    description: str = ""
    inputs: dict[Name, Annotated[PipelineInput, BeforeValidator(_typed)]] = Field(
        default_factory=dict, max_length=_MAX_NAMES
    )
    steps: dict[Name, Step] = Field(min_length=1, max_length=MAX_STEPS)
    outputs: dict[Name, Text] = Field(default_factory=dict, max_length=_MAX_NAMES)

    def given(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The value of each input, of its type; the same again where it was JSON meanwhile.

        Raises BadRequestError where one is missing, unknown or of another type.
        """
        if unknown := sorted(values.keys() - self.inputs.keys()):
            known = ", ".join(self.inputs) or "none"
            raise BadRequestError(f"pipeline {self.name} has no input '{unknown[0]}'; its inputs: {known}")
        return {name: self._given(name, one, values) for name, one in self.inputs.items()}

    def _given(self, name: str, declared: PipelineInput, values: Mapping[str, Any]) -> Any:
        value = values.get(name, declared.default)
        if value is None and declared.is_required:
            raise BadRequestError(f"pipeline {self.name} needs the input '{name}' ({declared.type})")
        try:
            return TypeAdapter(_KINDS[declared.type]).validate_python(value)
        except ValidationError as error:
            if any(one["type"] == "too_long" and not one["loc"] for one in error.errors()):
                words = f"has {len(value):,} items: at most {MAX_FAN_OUT:,} will do"
            else:
                words = f"is no {declared.type}: {describe(error)}"
            raise BadRequestError(f"input '{name}' of pipeline {self.name} {words}") from None


class StepOutcome(_Part):
    """What a finished step gave: an output for each item (None: skipped, or failed and gone on without).

    A step that is not `fanned` has one; one that was skipped as a whole is not `fanned` either.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    outputs: tuple[Output | None, ...]
    fanned: bool = False

    @property
    def is_absent(self) -> bool:
        """Whether there is nothing that a later step could take."""
        return not self.fanned and self.outputs == (None,)
