"""Which steps may answer a job, in which order, each with its reason: pure decisions, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from spacedock.request import Fallback, JobRequest, Tier
from spacedock_worker.models.endpoint import ModelEndpoint
from spacedock_worker.recommend.matching import UNKNOWN as UNKNOWN
from spacedock_worker.recommend.matching import kinds_in
from spacedock_worker.registry.entry import SpaceEntry

MOST_SPACES = 6
"""How many Spaces a job tries at most: each may have to be built first."""

Fits = Callable[[SpaceEntry], str | None]
"""Says why a Space cannot take a job's call; None where it can, or where that is not known."""


@dataclass(frozen=True, slots=True)
class SpaceStep:
    """Ask a Space. With `final` nobody stands in where the Space says that the request itself is wrong."""

    entry: SpaceEntry
    reason: str
    final: bool = False

    @property
    def name(self) -> str:
        """The Space's name."""
        return self.entry.title

    @property
    def tier(self) -> Tier:
        """Spaces are the heavy tier."""
        return Tier.HEAVY


@dataclass(frozen=True, slots=True)
class ModelStep:
    """Ask a language model; `degraded` where words are not the kind of answer that was asked for."""

    name: str
    tier: Tier
    reason: str
    degraded: bool
    stands_in_for: SpaceEntry | None = None


Step = SpaceStep | ModelStep


@dataclass(frozen=True, slots=True)
class Skip:
    """A step of the chain that is not taken, and why."""

    tier: Tier
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole chain in order: steps to take one after the other until one answers, and skips."""

    chain: tuple[Step | Skip, ...]

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps that may be taken."""
        return tuple(item for item in self.chain if not isinstance(item, Skip))


def plan(
    request: JobRequest,
    chosen: SpaceEntry | None,
    alternates: Sequence[SpaceEntry],
    models: Sequence[ModelEndpoint],
    *,
    fits: Fits = lambda _: None,
    reasons: Mapping[str, str] | None = None,
) -> Plan:
    """Lay out the chain: the chosen Space, others that may stand in for it, Tier 1, the system default.

    Where no Space was named, `chosen` is None and `alternates` are those of the category, or those that the
    job was routed to. `fits` judges alternates beside their types; `reasons` say of alternates, by name, why
    they are asked. Alternates after the sixth Space are left out.
    """
    spaces = _first(MOST_SPACES, _spaces(request, chosen, alternates, fits, reasons or {}))
    chain = [*spaces, *_models(request, chosen, alternates, models)]
    if request.fallback is Fallback.NONE:
        chain = list(_without_fallback(chain, chosen is not None))
    return Plan(tuple(chain))


def kinds_of(request: JobRequest) -> frozenset[str]:
    """The kinds of file that the request carries: image, audio, video, text or file."""
    return frozenset(kind_of(ref.media_type) for ref in request.files)


def kind_of(media_type: str) -> str:
    """A file's kind by its media type; `file` for what is none of image, audio, video and text."""
    major = media_type.split("/")[0]
    if media_type in {"application/json", "application/x-ndjson"}:
        return "text"
    return major if major in {"image", "audio", "video", "text"} else "file"


def _spaces(
    request: JobRequest,
    chosen: SpaceEntry | None,
    alternates: Sequence[SpaceEntry],
    fits: Fits,
    reasons: Mapping[str, str],
) -> Iterator[Step | Skip]:
    for entry in [*([chosen] if chosen else []), *alternates]:
        why_not = _why_not(request, entry, chosen, fits)
        if why_not:
            yield Skip(Tier.HEAVY, entry.title, why_not)
        else:
            yield SpaceStep(
                entry,
                reasons.get(entry.id) or _why(entry, chosen),
                entry is chosen and is_final(request, entry),
            )


def is_final(request: JobRequest, entry: SpaceEntry) -> bool:
    """Whether the Space that was named is the judge of the request.

    It is not where it takes files and is asked in words alone: others may have something to say to these.
    """
    words_alone = not (request.files or request.inputs or request.endpoint)
    return not (words_alone and entry.takes - {"text", UNKNOWN})


def _why(entry: SpaceEntry, chosen: SpaceEntry | None) -> str:
    if entry is chosen:
        return "the Space that was asked for"
    if chosen is not None and entry.id in chosen.alternates:
        return f"an alternate of {chosen.id}"
    return f"a Space of the category {entry.category}"


def _first(most: int, items: Iterable[Step | Skip]) -> Iterator[Step | Skip]:
    """The items as far as so many steps, and not the skips that come after the last of these."""
    steps = 0
    for item in items:
        steps += not isinstance(item, Skip)
        yield item
        if steps == most:
            return


def _why_not(request: JobRequest, entry: SpaceEntry, chosen: SpaceEntry | None, fits: Fits) -> str | None:
    if request.tier in {Tier.FAST, Tier.DEFAULT}:
        return f"the tier {request.tier.value} was asked for"
    if entry.status != "available":
        return f"its status in the registry is '{entry.status}'"
    if entry is chosen:
        return None
    return _misfit(request, entry, chosen) or fits(entry)


def _misfit(request: JobRequest, entry: SpaceEntry, chosen: SpaceEntry | None) -> str | None:
    """Why an alternate cannot do it: what it takes and gives must be what the job has and wants."""
    if chosen and UNKNOWN not in chosen.gives and not entry.gives & chosen.gives:
        return f"it gives {entry.output_type}, and {chosen.output_type} was asked for"
    # A JSON file is one of text: whoever takes JSON takes it, as the ranking has it.
    foreign = kinds_of(request) - kinds_in(entry.takes)
    if foreign and "file" not in entry.takes:
        return f"it does not take {' or '.join(sorted(foreign))}"
    if not request.files and "text" not in entry.takes:
        return f"it needs {entry.input_type}, and the job has no file"
    return None


def _models(
    request: JobRequest,
    chosen: SpaceEntry | None,
    alternates: Sequence[SpaceEntry],
    models: Sequence[ModelEndpoint],
) -> Iterator[Step | Skip]:
    asked = chosen or next(iter(alternates), None)
    fast = [option for option in models if option.tier is Tier.FAST]
    if not fast:
        yield Skip(Tier.FAST, "tier 1", "no Tier 1 model is configured, and none runs at the usual addresses")
    for option in [*fast, *(option for option in models if option.tier is Tier.DEFAULT)]:
        reason = _model_misfit(request, option)
        if reason:
            yield Skip(option.tier, option.name, reason)
        else:
            yield _model_step(option, asked)


def _model_step(option: ModelEndpoint, asked: SpaceEntry | None) -> ModelStep:
    role = "the system default" if option.tier is Tier.DEFAULT else "a Tier 1 model"
    return ModelStep(option.name, option.tier, role, asked is not None and not words_will_do(asked), asked)


def words_will_do(asked: SpaceEntry) -> bool:
    """Whether a model's words are the kind of answer that the Space gives: text out of text."""
    return asked.gives == {"text"} and asked.takes == {"text"}


def _model_misfit(request: JobRequest, option: ModelEndpoint) -> str | None:
    if request.fallback is Fallback.SPACES:
        return "the fallback was limited to Spaces"
    if request.tier is Tier.DEFAULT and option.tier is not Tier.DEFAULT:
        return "the tier default was asked for"
    if request.privacy and not option.private:
        return "privacy was asked for, and this model does not run on this machine"
    foreign = kinds_of(request) - option.accepts
    if foreign:
        return f"the model does not take {' or '.join(sorted(foreign))}"
    if not request.prompt.strip() and not request.files:
        return "the job has no prompt"
    return None


def _without_fallback(chain: Iterable[Step | Skip], space_chosen: bool) -> Iterator[Step | Skip]:
    """Only one step is left: the chosen Space's, else the first that can be taken; nothing follows it."""
    for item in chain:
        yield item
        if space_chosen or not isinstance(item, Skip):
            return
