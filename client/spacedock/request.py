"""What a client asks for: one prompt with its files, and how it may be answered."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from enum import StrEnum
from math import isfinite
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from spacedock._wire.lanes import Priority
from spacedock._wire.retention import KeepFor
from spacedock._wire.view.webhooks import Callback
from spacedock.errors import FileTooLargeError
from spacedock.files import MAX_JOB_BYTES, MAX_JOB_FILES, MAX_REPOSITORY_BYTES, FileRef, check_refs

SPACE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")

Label = Annotated[str, StringConstraints(max_length=200)]


OWN_PREFIX = "./"
"""How the ids of Spaces begin that came with their jobs; no name in the registry may begin so."""

PIPELINE_PREFIX = "pipeline:"
"""How the target of a pipeline's run begins, before the pipeline's name."""

_SHOWN_DIGITS = 12
_NAME_CHARS = 100


def own_id(repository: FileRef) -> str:
    """The id of the Space whose packed directory that is: `./name@digest`."""
    return f"{OWN_PREFIX}{repository.name.removesuffix('.tar')}@{repository.sha256[:_SHOWN_DIGITS]}"


class Tier(StrEnum):
    """The rungs of the chain; `AUTO` lets the plan choose."""

    AUTO = "auto"
    HEAVY = "heavy"
    FAST = "fast"
    DEFAULT = "default"


class Fallback(StrEnum):
    """How far a job may step down when the Space that it asked for fails."""

    CHAIN = "chain"
    SPACES = "spaces"
    NONE = "none"


class Restart(BaseModel):
    """What a pipeline's run takes over from an earlier `run`: steps that would ask the same again.

    With `step` neither that step nor what takes from it.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    run: str = Field(min_length=1, max_length=200, pattern="^[A-Za-z0-9_-]+$")
    step: str | None = Field(default=None, max_length=60)


class JobRequest(BaseModel):
    """One job, as it is submitted; immutable.

    `space` is a name in the registry or a Hub id (`user/space`); `repository` is a Space's directory,
    packed by the client as a tar payload. `inputs` override the endpoint's parameters by name; of
    `optional_inputs` those count that the endpoint has (`AnsweredBy.honoured` names them), or a model knows.
    `timeout` bounds one execution of the call in seconds; preparing and starting have their own limits.
    With `privacy` the Space runs without a way out, only local models may answer, and the job is deleted once
    its result is read. With `explain` the Space is started and asked which endpoint would take the call, and
    why; none is called. Jobs of one `batch_id` wait in a lane of their own, and have their turn among others
    by their `priority`. `keep_for` is how long (seconds, or such as "7d") the result and its files are kept
    after the end, in place of what the daemon's `retention` says; at most 30 days. `callback` is the address
    of who wants to hear of the end, by a webhook. With `cache` an earlier answer of the same image to the
    same call is taken again. A job with a `pipeline` (as JSON, see `spacedock.pipelines`) is a run of it:
    `inputs` are its inputs, `files` are those among them, and its steps are jobs of their own.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    prompt: str = ""
    files: tuple[FileRef, ...] = Field(default=(), max_length=MAX_JOB_FILES)
    space: str | None = Field(default=None, max_length=300)
    repository: FileRef | None = None
    category: str | None = Field(default=None, max_length=300)
    endpoint: str | None = Field(default=None, max_length=1000)
    inputs: dict[str, Any] = Field(default_factory=dict)
    optional_inputs: dict[str, Any] = Field(default_factory=dict)
    tier: Tier = Tier.AUTO
    batch: bool = False
    batch_id: str | None = Field(default=None, min_length=1, max_length=100)
    priority: Priority = Priority.NORMAL
    privacy: bool = False
    performance_first: bool = False
    fallback: Fallback = Fallback.CHAIN
    explain: bool = False
    timeout: float = Field(default=300.0, gt=0, le=86_400)
    keep_for: KeepFor | None = None
    idempotency_key: str | None = Field(default=None, min_length=1, max_length=200)
    callback: Callback | None = None
    labels: dict[Label, Label] = Field(default_factory=dict, max_length=20)
    cache: bool = False
    pipeline: dict[str, Any] | None = None
    restart: Restart | None = None

    @model_validator(mode="after")
    def _is_a_job(self) -> Self:
        # A Space may have a button that takes nothing.
        if not (self.asks or self.space or self.repository or self.endpoint or self.explain or self.pipeline):
            raise ValueError("the prompt is empty and there is no file: give at least one of them")
        if self.space is not None and not SPACE_NAME.fullmatch(self.space):
            raise ValueError(f"'{self.space}' is not a Space: give a registry name or a Hub id (user/space)")
        if self.endpoint is not None and not self.endpoint.startswith("/"):
            raise ValueError(f"'{self.endpoint}' is not an endpoint: it starts with '/', such as /predict")
        return self

    @model_validator(mode="after")
    def _is_finite(self) -> Self:
        # JSON has no word for what is not, and would say null.
        for name, value in (*self.inputs.items(), *self.optional_inputs.items()):
            if not _is_finite(value):
                raise ValueError(f"the input '{name}' is NaN or infinite: give a number")
        return self

    @model_validator(mode="after")
    def _is_bounded(self) -> Self:
        try:
            # A pipeline's files are many jobs'.
            jobs = 1 if self.pipeline is None else MAX_JOB_FILES
            check_refs(self.files, max_job=jobs * MAX_JOB_BYTES)
            if self.repository is not None:
                check_refs([self.repository], MAX_REPOSITORY_BYTES)
        except FileTooLargeError as error:
            raise ValueError(str(error)) from None
        if not all(ref.is_plain for ref in self.payloads):
            raise ValueError("a file's name is '.' or '..', or has a control character: give it another")
        return self

    @property
    def asks(self) -> bool:
        """Whether it gives an app anything to fill in; without, it can only press a button."""
        return bool(self.prompt.strip() or self.files or self.inputs)

    @property
    def target(self) -> str:
        """Whom the job waits for: a Space by its name, the tier of a model, or nobody yet ("")."""
        if self.pipeline is not None:
            return f"{PIPELINE_PREFIX}{str(self.pipeline.get('name'))[:_NAME_CHARS]}"
        if self.repository is not None:
            return own_id(self.repository)
        if self.space is not None:
            return self.space
        return f"tier:{self.tier.value}" if self.tier in (Tier.FAST, Tier.DEFAULT) else ""

    @property
    def payloads(self) -> tuple[FileRef, ...]:
        """Every payload that the job needs: its files and, where given, the Space's repository."""
        return (*self.files, self.repository) if self.repository else self.files

    @property
    def digests(self) -> dict[str, str]:
        """The SHA-256 of the prompt, each input by its name, each file and the repository."""
        inputs = {f"inputs.{name}": value for name, value in self.inputs.items()}
        found = digests({"prompt": self.prompt or None, **inputs})
        found |= {f"files.{number}": ref.sha256 for number, ref in enumerate(self.files, start=1)}
        return found | ({"repository": self.repository.sha256} if self.repository else {})

    @property
    def set_apart(self) -> bool:
        """Whether no other job shares a file with this one, as privacy asks for."""
        return all(ref.vault for ref in self.files)


def _is_finite(value: Any) -> bool:
    """Whether all numbers in it are finite."""
    left, seen = [value], set[int]()
    while left:
        one = left.pop()
        if isinstance(one, float) and not isfinite(one):
            return False
        # A list may hold itself.
        if isinstance(one, dict | list | tuple) and id(one) not in seen:
            seen.add(id(one))
            left.extend(one.values() if isinstance(one, dict) else one)
    return True


def digests(values: Mapping[str, Any]) -> dict[str, str]:
    """The SHA-256 of each value but None, by its name: of a text as it is, else of its JSON, keys sorted."""
    texts = {
        name: value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
        for name, value in values.items()
        if value is not None
    }
    return {name: hashlib.sha256(text.encode(errors="replace")).hexdigest() for name, text in texts.items()}


def job_id_of(request: JobRequest) -> str:
    """A fresh id; the same id for the same idempotency key, so that a job submitted twice is one job."""
    if request.idempotency_key is None:
        return uuid.uuid4().hex
    return job_id_of_key(request.idempotency_key)


def job_id_of_key(key: str) -> str:
    """The id of the job that was submitted under this idempotency key."""
    return hashlib.sha256(b"key:" + key.encode()).hexdigest()[:32]
