"""What a job ends with: who answered, what, and every attempt before it."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, computed_field

from spacedock.files import FileRef
from spacedock.request import Tier
from spacedock.states import JobState


class Stage(StrEnum):
    """How far an attempt came. At `wait` nothing is done for it: others use what it needs."""

    PLAN = "plan"
    PULL = "pull"
    BUILD = "build"
    WAIT = "wait"
    START = "start"
    READY = "ready"
    CALL = "call"
    OUTPUT = "output"


class ErrorKind(StrEnum):
    """Why an attempt gave no answer."""

    SKIPPED = "skipped"
    SPACE_NOT_FOUND = "space_not_found"
    DOCKER_UNAVAILABLE = "docker_unavailable"
    PULL_FAILED = "pull_failed"
    BUILD_FAILED = "build_failed"
    REPOSITORY_UNAVAILABLE = "repository_unavailable"
    UNSUPPORTED = "unsupported"
    START_FAILED = "start_failed"
    START_TIMEOUT = "start_timeout"
    CRASHED = "crashed"
    OUT_OF_MEMORY = "out_of_memory"
    OUT_OF_DISK = "out_of_disk"
    QUARANTINED = "quarantined"
    TIMEOUT = "timeout"
    APP_ERROR = "app_error"
    BAD_INPUT = "bad_input"
    BAD_OUTPUT = "bad_output"
    MODEL_UNAVAILABLE = "model_unavailable"
    CANCELLED = "cancelled"
    WORKER_LOST = "worker_lost"
    INTERNAL = "internal"


class AnswerKind(StrEnum):
    """What answered: a Space in its container, a language model, or the steps of a pipeline."""

    SPACE = "space"
    MODEL = "model"
    PIPELINE = "pipeline"


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class AttemptError(_Value):
    """Why an attempt failed, for programs (`kind`) and for people (`message`).

    `host` says that the fault is the host's own: no Space starts there until it is mended.
    """

    kind: ErrorKind
    message: str
    host: bool = False


class Attempt(_Value):
    """One step of the chain: taken (successful where `error` is None) or skipped (kind `skipped`).

    `image_digest` is None where it came to no image.
    """

    tier: Tier
    name: str
    stage: Stage
    error: AttemptError | None = None
    seconds: float = 0.0
    image_digest: str | None = None


class TokenCounts(_Value):
    """How many tokens a model read and wrote, as its server counts them."""

    prompt: int = Field(default=0, ge=0, lt=2**53)
    completion: int = Field(default=0, ge=0, lt=2**53)


class AnsweredBy(_Value):
    """Who answered. `image`, `image_digest` and `endpoint` are None where there was no container.

    `model_digest` is that of the model's file, as far as it is known. `reused` says that this is an earlier
    answer to the same call. `honoured` are the request's optional inputs that counted. `tokens` is None where
    nobody counted: Spaces do not.
    """

    tier: Tier
    kind: AnswerKind
    name: str
    image: str | None = None
    image_digest: str | None = None
    endpoint: str | None = None
    model_digest: str | None = None
    tokens: TokenCounts | None = None
    reused: bool = False
    honoured: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Its name and its tier, for people; a pipeline is of none."""
        return f"{self.name} ({self.kind if self.kind is AnswerKind.PIPELINE else self.tier})"


class Output(_Value):
    """The answer: `text` for people, `data` as the endpoint returned it, `files` by their content.

    `truncated` says that `text` is only the beginning of what there was.
    """

    text: str | None = None
    data: Any = None
    files: tuple[FileRef, ...] = ()
    truncated: bool = False


class Timings(_Value):
    """Seconds, wall clock: in the queue, then of the step that answered, and from submit to end.

    `waited` is for room, a free container or a call slot; `prepare` is getting the image. Together they are
    the total, less the attempts before the one that answered; where nobody did, they are of all attempts.
    """

    queued: float = 0.0
    waited: float = 0.0
    prepare: float = 0.0
    start: float = 0.0
    call: float = 0.0
    total: float = 0.0


class Origin(_Value):
    """Where a job ran, and on which versions of Spacedock and of the Docker Engine ("": not asked).

    `asked` are the digests of what a private job was asked, of which nothing else is kept.
    """

    host: str
    spacedock: str
    engine: str = ""
    asked: dict[str, str] = Field(default_factory=dict)


class JobResult(_Value):
    """How a job ended; written once. `degraded` where the answer is not of the kind that was asked for.

    `privacy` says that the job was in privacy mode: its result is deleted once it is read.
    """

    id: str
    state: JobState
    answered_by: AnsweredBy | None = None
    degraded: bool = False
    privacy: bool = False
    output: Output = Output()
    attempts: tuple[Attempt, ...] = ()
    timings: Timings = Timings()
    labels: dict[str, str] = Field(default_factory=dict)
    origin: Origin | None = None

    @property
    def succeeded(self) -> bool:
        """Whether somebody answered."""
        return self.state is JobState.SUCCEEDED

    @property
    def host_fault(self) -> str | None:
        """What keeps the host that ran the job from starting Spaces; None if the job met no such fault."""
        return next((a.error.message for a in self.attempts if a.error and a.error.host), None)

    @property
    def failure(self) -> str:
        """Why there is no answer, in words for people."""
        return self.error.message if self.error else f"job {self.id} {self.state.value}"

    @computed_field  # type: ignore[prop-decorator]
    @property
    def error(self) -> AttemptError | None:
        """Why there is no answer: the error of the last step that was taken, else of the last skipped."""
        if self.succeeded:
            return None
        errors = [a.error for a in self.attempts if a.error]
        taken = [e for e in errors if e.kind is not ErrorKind.SKIPPED]
        return taken[-1] if taken else errors[-1] if errors else None
