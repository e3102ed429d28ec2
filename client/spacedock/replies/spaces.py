"""Answers about Spaces: entries, search, recommendations, verdicts, measures, locks."""

from __future__ import annotations

from typing import Any, NotRequired

from typing_extensions import TypedDict


class VerdictRow(TypedDict):
    """What a validation came to: of which image, when (UTC), and whether the Space was started (`deep`)."""

    works: bool
    reason: str
    at: str
    digest: NotRequired[str | None]
    deep: bool


class SpaceHere(TypedDict):
    """What is there of a Space on the host: `containers` by state; sizes in bytes (None: nothing there).

    `quarantined_for` says in how many seconds it may start again, `reason` why not now.
    """

    state: str
    containers: dict[str, int]
    quarantined_for: float | None
    reason: str | None
    image_bytes: int | None
    cache_bytes: int | None


class SpaceRow(TypedDict):
    """An entry of the registry, with the fields of registry.yaml; those that are as usual may be left out.

    `here` says what is there of it, None where the engine could not be asked.
    """

    id: str
    description: str
    category: str
    input_type: str
    output_type: str
    port: int
    status: str
    docker_image: NotRequired[str]
    repository: NotRequired[str]
    hub_id: NotRequired[str]
    adapter: NotRequired[str]
    endpoint: NotRequired[str]
    inputs: NotRequired[dict[str, Any]]
    memory: NotRequired[int]
    cpus: NotRequired[float]
    calls: NotRequired[int]
    secrets: NotRequired[list[str]]
    verified: NotRequired[VerdictRow | str]
    here: NotRequired[SpaceHere | None]


class EndpointSchema(TypedDict):
    """What an app can do, as it said when it last ran: `schema` is the JSON Schema of the inputs.

    An input with a `contentMediaType` takes a file; `outputs` are Gradio's words for what is filled.
    """

    name: str
    schema: dict[str, Any]
    outputs: list[str]


class SpacesData(TypedDict, total=False):
    """What `list` and `show` tell besides entries: `shipped` names those that every host begins with.

    `status` is not told where the engine could not be asked, `endpoints` only of one Space.
    """

    shipped: list[str]
    status: dict[str, SpaceHere]
    endpoints: list[EndpointSchema]


class AddedData(TypedDict):
    """Whether the name was there before (`replaced`), and whether it stands for other code now."""

    replaced: bool
    other_code: bool


class FoundRow(TypedDict):
    """A Space that a search found: `id` is the Hub's, `name` the registry's; the Hub alone tells `sdk`."""

    id: str | None
    name: str | None
    description: str
    category: str
    input_type: str
    output_type: str
    likes: int | None
    sdk: NotRequired[str | None]


class HubRow(FoundRow):
    """A Space as the Hub tells of it; `secrets` are the names that it asks for."""

    title: str
    license: str | None
    last_modified: str | None
    hardware: str | None
    stage: str | None
    private: bool
    gated: bool | str
    sha: str | None
    tags: list[str]
    models: list[str]
    secrets: list[str]
    confidence: float | None
    reason: str


class SearchReply(TypedDict):
    """Spaces of the registry (`here`) and of the Hub (`spaces`).

    `note` says where the answer is not from now, `cached_at` (seconds since the epoch) from when.
    """

    here: list[FoundRow]
    spaces: list[HubRow]
    cached_at: float | None
    note: str | None


class HubImage(TypedDict):
    """Where an image is or would come from, in a word (`state`) and in words (`why`); bytes to load."""

    state: str
    why: str
    reference: str | None
    digest: str | None
    size: int | None


class AboutReply(TypedDict):
    """What the Hub says of a Space, and what its app can do, once it ran here."""

    space: HubRow
    image: HubImage
    endpoints: list[str]
    cached_at: float | None
    note: str | None


class RecommendedRow(TypedDict):
    """A Space that suits a task: `score` from 0 to 1; where it does not fit, it is among the nearest."""

    name: str
    hub_id: str | None
    score: float
    category: str
    input_type: str
    output_type: str
    description: str
    state: str
    reasons: list[str]
    fits: bool


class RecommendReply(TypedDict):
    """The Spaces for a task, the best first; `advice` says what to do where none fits."""

    task: str
    category: str | None
    spaces: list[RecommendedRow]
    advice: str | None


class CheckRow(TypedDict):
    """One thing that was looked at: `status` is ok, bad or unknown."""

    name: str
    status: str
    reason: str
    advice: str


class EndpointInput(TypedDict):
    """An input of an endpoint; `choices` are the values that it takes, `several` whether more than one."""

    name: str
    position: int
    label: str
    component: str
    required: bool
    default: Any
    choices: list[Any]
    several: bool
    file: bool


class EndpointRow(TypedDict):
    """An endpoint of an app, and how well it suits a call (`score` None: not at all)."""

    endpoint: str
    parameters: list[str]
    inputs: list[EndpointInput]
    outputs: list[str]
    visible: bool
    example: dict[str, Any] | None
    trigger: str | None
    chosen: bool
    score: dict[str, float] | None
    reasons: list[str]


class ValidateReply(TypedDict):
    """Whether a Space can run here (None: that could not be found out), and whether that was `stored`."""

    name: str
    works: bool | None
    reason: str
    at: str | None
    digest: str | None
    deep: bool
    checks: list[CheckRow]
    endpoint: str | None
    endpoints: list[EndpointRow]
    seconds: dict[str, float]
    stored: bool


class MeasuredCall(TypedDict):
    """One of the last calls: when it ended, and what it took."""

    at: float
    ok: bool
    seconds: float | None


class ImageProfile(TypedDict):
    """What the last runs of one image came to; seconds and bytes, None where nothing was measured."""

    space: str
    digest: str
    runs: int
    succeeded: int
    start_p50: float | None
    start_max: float | None
    call_p50: float | None
    call_p95: float | None
    peak_memory: int | None
    last: float
    starts: int
    errors: dict[str, int]
    success_rate: float
    memory_limit: int
    calls: list[MeasuredCall]


class SpaceProfile(TypedDict):
    """What was measured of a Space, its newest image first."""

    space: str
    images: list[ImageProfile]
    advice: list[str]


class ProfileReply(TypedDict):
    """Profiles by name."""

    spaces: dict[str, SpaceProfile]


class LockReply(TypedDict):
    """The rows of a lock file; `failed` says why some have none, `left_out` names those that nobody used."""

    version: int
    spaces: dict[str, Any]
    notes: list[str]
    failed: dict[str, str]
    left_out: list[str]


class PullReply(TypedDict):
    """The image that a Space runs from now; `seconds` is what getting it took."""

    name: str
    image: str
    digest: str
    seconds: float


class LogsReply(TypedDict):
    """The last lines of each container's log."""

    logs: dict[str, str]
