"""Answers about a host: what a job would do there, how its tiers and parts stand, what was freed."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict


class PlanImage(TypedDict):
    """Whether a step's image is here, or how it would be got."""

    state: str
    reference: str | None
    bytes: int | None


PlanInput = TypedDict("PlanInput", {"input": str, "from": str})
PlanInput.__doc__ = "An input of the endpoint, and where its value comes from."


class PlanLimits(TypedDict):
    """A step's limits: bytes and seconds; a model has those of time alone."""

    timeout: float
    start_timeout: float
    memory: NotRequired[int]
    cpus: NotRequired[float | None]
    network: NotRequired[str]
    gpu: NotRequired[Any]


class PlanExpected(TypedDict):
    """The seconds that a step is expected to take, by what was measured."""

    start: float | None
    call: float | None


class PlanCall(TypedDict, total=False):
    """The endpoint that would be called, where its inputs come from, and what the app has against it."""

    endpoint: str | None
    mapping: list[PlanInput] | None
    misfit: str | None


class PlanStep(PlanCall):
    """A step of a chain; of one that is not `taken` only the reason is told, of a model what it is."""

    tier: str
    name: str
    taken: bool
    reason: str
    kind: NotRequired[str]
    degraded: NotRequired[bool]
    model: NotRequired[str | None]
    local: NotRequired[bool]
    image: NotRequired[PlanImage]
    container: NotRequired[str]
    quarantined_for: NotRequired[float | None]
    limits: NotRequired[PlanLimits]
    expected: NotRequired[PlanExpected]


class PlanRoute(TypedDict):
    """The tier that a request was sent to, and why."""

    tier: str
    reasons: list[str]


class PlanReply(TypedDict):
    """What a worker would do with a request; `misfits` as `Client.plan` says."""

    misfits: list[str | None]
    route: PlanRoute | None
    steps: list[PlanStep]
    warnings: list[str]


class EngineRow(TypedDict):
    """The Docker Engine: `trouble` where it does not answer, `fault` where this host starts no Space."""

    version: str | None
    platform: str | None
    trouble: str | None
    fault: str | None


class MemoryRow(TypedDict):
    """The bytes that containers may take together, and that are free of these."""

    budget: int | None
    free: int | None


class DiskRow(TypedDict):
    """The engine's folder, and the bytes that are free there."""

    folder: str | None
    free: int | None


class GpuRow(TypedDict):
    """A GPU and its memory in bytes."""

    index: int
    total: int
    free: int


class HostRow(TypedDict):
    """The host that answers, and how many workers of the queue are alive."""

    name: str
    workers: int | None
    engine: EngineRow
    memory: MemoryRow
    disk: DiskRow
    gpus: list[GpuRow]


class SlotsRow(TypedDict):
    """How many containers there are, and how many there may be."""

    taken: int
    all: int


QuarantineRow = TypedDict("QuarantineRow", {"for": float, "reason": str | None})
QuarantineRow.__doc__ = "For how many seconds more a Space is not started, and why."


class SpacesTier(TypedDict):
    """Tier 2: counts of Spaces and of their containers."""

    registered: int
    validated: int
    not_working: int
    images: int | None
    containers: dict[str, int]
    slots: SlotsRow
    quarantined: dict[str, QuarantineRow]


class ModelRow(TypedDict):
    """A model's endpoint: `state` is ready, loading, resting, absent or another word with its `why`."""

    name: str
    tier: str
    model: str | None
    models: list[str]
    url: str | None
    local: bool
    state: str
    why: str | None


class FilesRow(TypedDict):
    """Where large files are, the bytes that are free there, and `why` that place is away."""

    at: str
    free: int | None
    why: str | None


class QueueRow(TypedDict):
    """The queue's server: how many jobs wait or run."""

    connected: bool
    queue: int | None
    files: FilesRow | None


class LimitsRow(TypedDict):
    """The usual limits: seconds, bytes, and counts."""

    call_seconds: float
    start_seconds: float
    pull_seconds: float
    build_seconds: float
    memory: int
    cpus: float | None
    pids: int
    disk: int
    network: str
    jobs: int


class TiersReply(TypedDict):
    """How a host stands: itself, its Spaces, its models, the system default, the queue, and its limits."""

    host: HostRow
    spaces: SpacesTier
    models: list[ModelRow]
    default: ModelRow | None
    redis: QueueRow
    limits: LimitsRow


class FreedKind(TypedDict):
    """How much of one kind was freed."""

    count: int
    bytes: int


class FreedItem(TypedDict):
    """One thing that was freed and has a name."""

    kind: str
    name: str
    bytes: int


class CleanupReply(TypedDict):
    """What was freed, or would be: in all, by kind, and one by one; `left` says what could not go."""

    dry_run: bool
    bytes: int
    kinds: dict[str, FreedKind]
    items: list[FreedItem]
    left: list[str]


class DoctorLine(TypedDict):
    """How one thing stands: the `area` and the `subject` in it, and the `command` that mends it.

    "warning" is what will be missed one day, "error" what keeps jobs from their answers now.
    """

    area: str
    subject: str
    state: Literal["ok", "warning", "error"]
    message: str
    command: str | None


class DoctorReply(TypedDict):
    """What a worker found on its host."""

    lines: list[DoctorLine]


class Area:
    """Makes the lines of one area."""

    def __init__(self, name: str) -> None:
        self._name = name

    def ok(self, subject: str, message: str) -> DoctorLine:
        """Nothing is to be done."""
        return {"area": self._name, "subject": subject, "state": "ok", "message": message, "command": None}

    def warning(self, subject: str, message: str, command: str) -> DoctorLine:
        """Jobs run, and something is to be done."""
        return {**self.ok(subject, message), "state": "warning", "command": command}

    def error(self, subject: str, message: str, command: str) -> DoctorLine:
        """Something has to be done before jobs run."""
        return {**self.ok(subject, message), "state": "error", "command": command}
