"""The check of a validation whether there is an image of the Space, or will be (pure)."""

from __future__ import annotations

from spacedock.result import ErrorKind
from spacedock_worker.images.oci.preflight import in_words
from spacedock_worker.images.oci.survey import Availability, Offer
from spacedock_worker.validation.verdict import Check, Findings, Mark

RUNNABLE = ("gradio", "docker")
"""The SDKs of Spaces that have something to call."""

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
