"""The checks of a validation that gets nothing, starts nothing and calls nothing (pure)."""

from __future__ import annotations

from collections.abc import Iterator

from spacedock.result import ErrorKind
from spacedock_worker.containers.pool.view import SpaceStatus
from spacedock_worker.errors import HostBusyError
from spacedock_worker.images.oci.preflight import UNPACKED, in_words
from spacedock_worker.images.oci.survey import Availability, Offer
from spacedock_worker.images.space_card import NOTHING_TO_CALL, RUNNABLE
from spacedock_worker.registry.entry import Verdict
from spacedock_worker.validation.verdict import Check, Findings, Mark

_FAILING = ("BUILD_ERROR", "CONFIG_ERROR", "RUNTIME_ERROR")


def checks_of(found: Findings) -> tuple[Check, ...]:
    """Every check that applies to the Space, in an order that reads well: what it is before what it needs."""
    return tuple(check for check in _checks(found) if check is not None)


def _checks(found: Findings) -> Iterator[Check | None]:
    yield _entry(found)
    yield _sdk(found)
    yield _address(found)
    yield _hub(found)
    yield image_check(found)
    yield _digest(found)
    yield _platform(found)
    yield _disk(found)
    yield _memory(found)
    yield _gpu(found)
    yield _secrets(found)
    yield _quarantine(found.status)
    yield _trial(found)


def _entry(found: Findings) -> Check:
    entry = found.entry
    if entry.status != "available":
        return Check("entry", Mark.BAD, f"its status in the registry is '{entry.status}'", "Set `status`.")
    if found.misfit:
        return Check("entry", Mark.BAD, found.misfit)
    unknown = sorted(set(entry.alternates) - set(found.known))
    if unknown:
        words = f"its alternates name {', '.join(unknown)}, which the registry does not have"
        return Check("entry", Mark.UNKNOWN, words, "Correct `alternates`.")
    return Check("entry", Mark.OK, "its fields go together")


def _sdk(found: Findings) -> Check | None:
    told = found.hub.space.sdk if found.hub and found.hub.space else None
    sdk = found.sdk or told
    if sdk is None:
        return None
    if sdk in RUNNABLE:
        return Check("sdk", Mark.OK, f"{sdk}, which runs here")
    why = NOTHING_TO_CALL.get(sdk, f"its SDK '{sdk}' is not known here")
    return Check("sdk", Mark.BAD, why, "Use a Space with Gradio or a JSON API.")


def _address(found: Findings) -> Check | None:
    if found.binds is None:
        return None
    words = f"its app seems to listen for its own container alone ({found.binds})"
    return Check("address", Mark.UNKNOWN, words, "Have it listen on 0.0.0.0.")


def _hub(found: Findings) -> Check | None:
    """Whether the Hub has the Space and gives it; it matters only where it must come from there."""
    news = found.hub
    if news is None:
        return None
    needed = found.here is None and found.entry.repository is None
    space = news.space
    if space is None:
        bad = news.missing and needed and not _offered(found.offer)
        # The Hub's errors say themselves what to do.
        return Check("hub", Mark.BAD if bad else Mark.UNKNOWN, news.why)
    if news.stale:
        advice = "Check that this host reaches the Hub (HF_ENDPOINT names another)."
        return Check("hub", Mark.UNKNOWN, news.why, advice)
    stage = (space.stage or "").upper()
    if space.gated and needed:
        advice = "Accept its terms on its page, and give this host a token (HF_TOKEN)."
        return Check("hub", Mark.UNKNOWN if news.token else Mark.BAD, "it is gated", advice)
    if stage == "NO_APP_FILE":
        return Check("hub", Mark.BAD, "its repository has no app")
    if stage in _FAILING:
        return Check("hub", Mark.UNKNOWN, f"it fails on the Hub itself ({stage})", "Try it with `deep`.")
    said = ["private: this host's token reads it"] if space.private else []
    said += [f"{stage.lower()} on the Hub, which does not matter here"] if stage == "PAUSED" else []
    return Check("hub", Mark.OK, "; ".join(said) or "the Hub has it, open to all")


def _digest(found: Findings) -> Check | None:
    """Whether the image is the one that the entry was written for; nothing is pinned by it."""
    wanted, here = found.entry.image_digest, found.here or found.offer
    if wanted is None or here is None or here.digest is None:
        return None
    if here.digest == wanted:
        return Check("digest", Mark.OK, "the image that its entry was written for")
    words = f"its entry was written for the image {wanted[:19]}, and this is {here.digest[:19]}"
    return Check("digest", Mark.UNKNOWN, words, "Try it with `deep`.")


def _platform(found: Findings) -> Check | None:
    wanted, offer = found.entry.platform, found.offer
    if wanted is not None and not found.runs(wanted):
        advice = "Take `platform` out of its entry, or install an emulator (qemu-user-static)."
        return Check(
            "platform", Mark.BAD, f"its entry asks for {wanted}, which this host does not run", advice
        )
    if found.here is not None or offer is None or offer.standing is not Availability.THERE:
        return None
    names = [str(platform) for platform in offer.platforms]
    if not names:
        return Check("platform", Mark.UNKNOWN, "its image registry does not tell which platform it is for")
    if wanted is None and not offer.fits:
        words = f"its image is for {', '.join(names)}, and not for this host"
        return Check("platform", Mark.BAD, words, "Set its `platform`, or build it (`repository`, `hub_id`).")
    if any(found.runs(name) for name in names):
        return Check("platform", Mark.OK, f"for {', '.join(names)}")
    words = f"its image is for {', '.join(names)}, which this host does not run"
    return Check("platform", Mark.BAD, words, "Give it a `repository` or `hub_id`, and no `docker_image`.")


def _disk(found: Findings) -> Check | None:
    offer, free = found.offer, found.host.disk_free
    if found.here is not None or offer is None or offer.size is None or free is None:
        return None
    needed = offer.size * UNPACKED
    reason = f"about {in_words(needed)} needed, {in_words(free)} free"
    if needed > free:
        return Check("disk", Mark.BAD, reason, "Make room, for example by `spacedock cleanup --images`.")
    return Check("disk", Mark.OK, reason)


def _memory(found: Findings) -> Check | None:
    given = found.host.budget
    if given is None:
        return None
    reason = f"{_gigabytes(found.memory)} of the {_gigabytes(given)} that this host gives its containers"
    if found.memory > given:
        return Check("memory", Mark.BAD, f"it needs {reason}", "Lower `memory`, or raise `memory_budget`.")
    return Check("memory", Mark.OK, reason)


def _gpu(found: Findings) -> Check | None:
    if (refused := found.gpus) is not None:
        mark = Mark.UNKNOWN if isinstance(refused, HostBusyError) else Mark.BAD
        return Check("gpu", mark, str(refused))
    count, wanted = len(found.host.gpus), found.entry.gpu
    there = f"this host has {count or 'none'}"
    hardware = (found.hub.space.hardware if found.hub and found.hub.space else None) or found.entry.hardware
    if wanted == "none":
        if not hardware or hardware.startswith("cpu"):
            return None
        advice = (
            "Set `gpu: auto` in its entry." if count else "Try it with `deep`, or run it on another host."
        )
        return Check("gpu", Mark.UNKNOWN, f"on the Hub it runs on {hardware}; {there} for it", advice)
    words = f"takes the GPUs that there are; {there}" if wanted == "auto" else f"has what it wants; {there}"
    return Check("gpu", Mark.OK, words)


def _secrets(found: Findings) -> Check | None:
    if found.missing_secret is not None:
        return Check("secrets", Mark.BAD, found.missing_secret)
    entry = found.entry
    named = found.hub.space.secrets if found.hub and found.hub.space else ()
    missing = [name for name in named if name not in entry.secrets and name not in entry.env]
    if missing:
        words = f"it speaks of {', '.join(missing)}, and its entry gives it no such secret"
        return Check("secrets", Mark.UNKNOWN, words, "Put the value on this host, and name it in `secrets`.")
    if entry.secrets:
        return Check("secrets", Mark.OK, f"{', '.join(sorted(entry.secrets))}: there on this host")
    return None


def _quarantine(status: SpaceStatus | None) -> Check | None:
    if status is None or status.quarantined_for is None:
        return None
    words = f"it failed again and again, and rests for {status.quarantined_for:.0f} s: {status.reason}"
    return Check("quarantine", Mark.BAD, words)


def _trial(found: Findings) -> Check | None:
    """What an earlier trial of the same image came to: that weighs more than what is known from outside."""
    last = found.entry.verified
    if found.trying or not isinstance(last, Verdict) or not last.deep or last.digest is None:
        return None
    if found.here is None or found.here.digest != last.digest:
        return None
    when = f"on {last.at:%Y-%m-%d %H:%M} UTC"
    if last.works:
        return Check("trial", Mark.OK, f"{when} {last.reason}")
    return Check("trial", Mark.BAD, f"{when} it failed: {last.reason}", "Try it again with `deep`.")


def _offered(offer: Offer | None) -> bool:
    return offer is not None and offer.standing is Availability.THERE


def _gigabytes(count: int) -> str:
    return f"{count / 2**30:.1f} GB"


_SHOWN_TAGS = 5


def image_check(found: Findings) -> Check | None:
    """Whether there is an image, or will be: from this host, an image registry, or a build."""

    def check(mark: Mark, reason: str, advice: str = "") -> Check:
        return Check("image", mark, reason, advice, decisive=True)

    if found.host.trouble is not None:
        return check(Mark.UNKNOWN, found.host.trouble)
    if found.trouble is not None and found.sdk is not None and found.sdk not in RUNNABLE:
        # The SDK's own line says why.
        return None
    if found.here is not None:
        return check(Mark.OK, f"{found.here.reference} is on this host")
    offer = found.offer
    if offer is not None and offer.standing is Availability.THERE:
        return check(Mark.OK, f"{offer.reference} can be pulled{_size(offer)}")
    why_not = _refusal(offer) if offer is not None else ""
    building = _building(found)
    if building is None:
        advice = "Give the Space a `repository` or `hub_id` to build from."
        silent = offer is not None and offer.standing is Availability.SILENT
        none = "it names no image and no repository"
        return check(Mark.UNKNOWN if silent else Mark.BAD, why_not or none, _login(offer) + advice)
    mark, reason = building
    if mark is not Mark.OK and offer is not None and offer.standing is Availability.SILENT:
        mark = Mark.UNKNOWN
    own = found.entry.docker_image is not None
    return check(mark, f"{why_not}; {reason}" if own and why_not else reason, _login(offer) if own else "")


def _building(found: Findings) -> tuple[Mark, str] | None:
    """Whether it can be built; None where there is nothing to build from."""
    if found.entry.repository is not None:
        if found.trouble is not None:
            away = found.trouble.kind is ErrorKind.DOCKER_UNAVAILABLE
            return Mark.UNKNOWN if away else Mark.BAD, str(found.trouble)
        return Mark.OK, "it is built from its repository on this host"
    if found.hub is None:
        return None
    if found.hub.space is not None:
        commit = f" at {found.entry.revision}" if found.entry.revision else ""
        reason = f"it is built from its repository on the Hub{commit}"
        return (Mark.UNKNOWN, f"{reason}, if that can be reached") if found.hub.stale else (Mark.OK, reason)
    return Mark.BAD if found.hub.missing else Mark.UNKNOWN, f"it cannot be built: {found.hub.why}"


def _refusal(offer: Offer) -> str:
    if offer.standing is Availability.SILENT:
        return f"the image registry of {offer.reference} could not be asked: {offer.why}"
    if offer.standing is Availability.REFUSED:
        refused = "refuses this host's login" if offer.login else "gives it only with a login"
        return f"the image registry of {offer.reference} {refused}"
    tags = f"; it has the tags {', '.join(offer.tags[-_SHOWN_TAGS:])}" if offer.tags else ""
    return f"{offer.reference} is not in its image registry{tags}"


def _login(offer: Offer | None) -> str:
    if offer is None or offer.standing is not Availability.REFUSED:
        return ""
    registry = offer.reference.partition("/")[0]
    return f"Give a token (HF_TOKEN) for the Hub's images, else `docker login {registry}`. "


def _size(offer: Offer) -> str:
    return f", {in_words(offer.size)} to download" if offer.size is not None else ""
