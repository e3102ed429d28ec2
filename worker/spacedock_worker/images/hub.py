"""What the Hub says of a Space, and fetching its repository.

huggingface_hub is imported at the first question, in that question's thread: it takes 8 MB, and a worker
whose Spaces are all here never asks.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from huggingface_hub.constants import is_offline_mode

from spacedock.result import ErrorKind, Stage
from spacedock_worker.errors import StepError, full_disk, tells_full_disk
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.images.space_card import SpaceCard, card_of

_ABOUT_SECONDS = 5.0
_ERRNO = re.compile(r"\[Errno -?\d+\] ")


@dataclass(frozen=True, slots=True)
class SpaceRuntime:
    """A Space as the Hub knows it; None is what it did not say."""

    sha: str | None = None
    subdomain: str | None = None
    card: SpaceCard = field(default_factory=SpaceCard)


class NoSuchSpaceError(StepError):
    """The Hub answered that it has no such Space for this host's token."""


class HubAwayError(StepError):
    """The Hub was not asked, or did not answer: that says nothing about the Space."""


async def about(hub_id: str, settings: ImageSettings) -> SpaceRuntime:
    """What the Hub says of the Space, asked once and for 5 s at most. Raises StepError as `fetch` does."""
    _check_online(hub_id, settings)
    async with _translated(hub_id, _ABOUT_SECONDS):
        return await asyncio.to_thread(_about, hub_id, settings)


async def fetch(hub_id: str, revision: str | None, folder: Path, settings: ImageSettings) -> None:
    """Download the Space's repository at `revision` (None: the newest), within the build's time limit.

    Raises StepError `repository_unavailable` where the Hub cannot be reached or does not have it.
    """
    _check_online(hub_id, settings)
    async with _translated(hub_id, settings.build_timeout):
        await asyncio.to_thread(_download, hub_id, revision, folder, settings)


def is_offline(settings: ImageSettings) -> bool:
    """Whether this host was told to ask the Hub nothing."""
    return settings.hub_offline or bool(is_offline_mode())


def _check_online(hub_id: str, settings: ImageSettings) -> None:
    if is_offline(settings):
        why = "this host asks the Hub nothing (HF_HUB_OFFLINE or images.hub_offline)"
        raise _away(hub_id, why, "Unset that for the first run, or give the Space a `repository`.")


_ACCESS = "Check the id, and give a token (HF_TOKEN) for a private Space."
_COMMIT = "Correct the `revision` of its registry entry, or lock it again, to run the commit that it has now."
_NETWORK = (
    "Check that this host reaches the Hub (HF_ENDPOINT names another), or give the Space a `repository`."
)


@asynccontextmanager
async def _translated(hub_id: str, seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise _away(hub_id, f"no answer within {seconds:g} s", _NETWORK) from error
    except Exception as error:
        raise _told(hub_id, error) from error


def _told(hub_id: str, error: Exception) -> StepError:
    """A failure of huggingface_hub in our words."""
    # The thread that failed has loaded them.
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    if isinstance(error, RevisionNotFoundError):
        return _unavailable(hub_id, "the Hub does not have the commit that is wanted", _COMMIT)
    if isinstance(error, RepositoryNotFoundError | GatedRepoError):
        none = _unavailable(hub_id, "the Hub has no such Space, or it is private", _ACCESS)
        return NoSuchSpaceError(none.stage, none.kind, str(none))
    # The Hub's client lets errors of its HTTP library and of files through; all mean the same here.
    if tells_full_disk(str(error)):
        return full_disk(Stage.BUILD, f"the repository of {hub_id} cannot be fetched", "the worker's files")
    why = (str(error) or type(error).__name__).splitlines()[0]
    return _away(hub_id, why, _NETWORK)


def _about(hub_id: str, settings: ImageSettings) -> SpaceRuntime:
    from huggingface_hub import HfApi

    from spacedock_worker.images.hub_http import install

    install()
    api = HfApi(endpoint=settings.hub_endpoint, token=settings.hub_token or False)
    found = api.space_info(hub_id, timeout=_ABOUT_SECONDS)
    said = vars(found.card_data) if found.card_data else {}
    fields = {key: str(value) for key, value in said.items() if value is not None} | (
        {"sdk": found.sdk} if found.sdk else {}
    )
    return SpaceRuntime(found.sha, found.subdomain, card_of(fields))


def _download(hub_id: str, revision: str | None, folder: Path, settings: ImageSettings) -> None:
    from huggingface_hub import snapshot_download

    from spacedock_worker.images.hub_http import install

    install()
    snapshot_download(
        repo_id=hub_id,
        repo_type="space",
        revision=revision,
        local_dir=folder,
        endpoint=settings.hub_endpoint,
        token=settings.hub_token or False,
        etag_timeout=10,
    )


def _unavailable(hub_id: str, why: str, advice: str) -> StepError:
    return StepError(
        Stage.BUILD,
        ErrorKind.REPOSITORY_UNAVAILABLE,
        f"the repository of {hub_id} cannot be fetched: {_ERRNO.sub('', why).rstrip('.')}. {advice}",
    )


def _away(hub_id: str, why: str, advice: str) -> HubAwayError:
    error = _unavailable(hub_id, why, advice)
    return HubAwayError(error.stage, error.kind, str(error))
