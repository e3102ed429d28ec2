"""Fetching a Space's repository from the Hub."""

from __future__ import annotations

import asyncio
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

from spacedock.result import ErrorKind, Stage
from spacedock_worker.errors import StepError
from spacedock_worker.images.settings import ImageSettings


async def fetch(hub_id: str, folder: Path, settings: ImageSettings) -> None:
    """Download the Space's repository into `folder`, within the build's time limit.

    Raises StepError `repository_unavailable` where the Hub cannot be reached or does not have it.
    """
    try:
        async with asyncio.timeout(settings.build_timeout):
            await asyncio.to_thread(_download, hub_id, folder, settings)
    except TimeoutError as error:
        raise _unavailable(hub_id, f"no answer within {settings.build_timeout:g} s", _NETWORK) from error
    except (RepositoryNotFoundError, GatedRepoError) as error:
        raise _unavailable(hub_id, "the Hub has no such Space, or it is private", _ACCESS) from error
    except Exception as error:
        # The Hub's client lets errors of its HTTP library and of files through; all mean the same here.
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise _unavailable(hub_id, why, _NETWORK) from error


_ACCESS = "Check the id, and give a token (HF_TOKEN) for a private Space."
_NETWORK = (
    "Check that this host reaches the Hub (HF_ENDPOINT names another), or give the Space a `repository`."
)


def _download(hub_id: str, folder: Path, settings: ImageSettings) -> None:
    snapshot_download(
        repo_id=hub_id,
        repo_type="space",
        local_dir=folder,
        endpoint=settings.hub_endpoint,
        token=settings.hub_token or False,
        etag_timeout=10,
    )


def _unavailable(hub_id: str, why: str, advice: str) -> StepError:
    return StepError(
        Stage.BUILD,
        ErrorKind.REPOSITORY_UNAVAILABLE,
        f"the repository of {hub_id} cannot be fetched: {why.rstrip('.')}. {advice}",
    )
