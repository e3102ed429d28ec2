"""From an endpoint's failures to the errors of a step: translated once, each with what to do next."""

from __future__ import annotations

import httpx2
import openai

from spacedock.result import ErrorKind, Stage
from spacedock_worker.errors import StepError
from spacedock_worker.models.endpoint import ModelEndpoint


class NotReadyError(Exception):
    """The endpoint cannot answer yet. `absent` where nothing of its kind is there, else it is loading."""

    def __init__(self, why: str, *, absent: bool = False) -> None:
        self.why, self.absent = why, absent
        super().__init__(why)


def translated(endpoint: ModelEndpoint, stage: Stage, error: openai.APIError) -> StepError | NotReadyError:
    """What a failed call means for the step: try again later (NotReadyError), or its end (StepError)."""
    if isinstance(error, openai.APIStatusError):
        return _from_status(endpoint, stage, error)
    if isinstance(error.__cause__, (httpx2.ConnectError, httpx2.ConnectTimeout)):
        return NotReadyError("nothing listens there", absent=True)
    if stage is Stage.READY:
        return NotReadyError("it broke off", absent=True)
    return StepError(
        stage,
        ErrorKind.MODEL_UNAVAILABLE,
        f"{endpoint.name} broke off while it answered. See its log; the job can be sent again.",
    )


def _from_status(
    endpoint: ModelEndpoint, stage: Stage, error: openai.APIStatusError
) -> StepError | NotReadyError:
    status, why = error.status_code, _reason(error)
    # The header that OpenAI's own servers use for failures that waiting does not heal.
    final = error.response.headers.get("x-should-retry") == "false"
    if status in (429, 502, 503, 504):
        return _unavailable(endpoint, stage, why) if final else NotReadyError(why)
    if status in (401, 403):
        return _unavailable(endpoint, stage, f"refuses the key ({status}): check its api_key")
    if status == 404:
        return _unavailable(
            endpoint, stage, f"has no such model or path ({why}): check its model and base_url"
        )
    if stage is Stage.READY:
        return _unavailable(endpoint, stage, why)
    message = f"{endpoint.name} answered {status}: {why}. Change the prompt or its files, or see its log."
    return StepError(stage, ErrorKind.APP_ERROR, message)


def _unavailable(endpoint: ModelEndpoint, stage: Stage, why: str) -> StepError:
    return StepError(stage, ErrorKind.MODEL_UNAVAILABLE, f"{endpoint.name} at {endpoint.base_url}: {why}")


def foreign(endpoint: ModelEndpoint, stage: Stage) -> StepError:
    """The error for words that are not the protocol's."""
    kind = ErrorKind.MODEL_UNAVAILABLE if stage is Stage.READY else ErrorKind.BAD_OUTPUT
    message = f"{endpoint.name} at {endpoint.base_url} does not speak OpenAI's protocol. Check its base_url."
    return StepError(stage, kind, message)


def _reason(error: openai.APIStatusError) -> str:
    """The server's own words, bounded: they go into a result that people read."""
    said = error.body.get("message") if isinstance(error.body, dict) else None
    return str(said or f"HTTP {error.status_code}")[:300]
