"""Which status an error gets over HTTP, and what it tells."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from spacedock import errors
from spacedock.client import Client
from spacedockd.http.errors import body, told
from spacedockd.http.native.jobs import JobBody

FULL = errors.QueueFullError(1, 2, 3, 4)


@pytest.mark.parametrize(
    ("error", "status", "code", "after"),
    [
        (FULL, 429, "queue_full", True),
        (errors.StoreFullError("file:///mnt/x"), 429, "queue_full", True),
        (errors.NoWorkerError(5), 503, "no_worker", True),
        (errors.NotConnectedError("unix:///run/x.sock", "gone"), 503, "queue_away", True),
        (errors.StoreAwayError("file:///mnt/x", "why", "advice"), 503, "queue_away", True),
        (errors.FileTooLargeError("a", 2, 1), 413, "file_too_large", False),
        (errors.BadRequestError("no"), 400, "bad_request", False),
        (errors.JobNotFoundError("1"), 404, "job_not_found", False),
        (errors.SpaceNotFoundError("x"), 404, "space_not_found", False),
        (errors.ResultDeletedError(("1",)), 410, "result_deleted", False),
    ],
)
def test_each_error_has_its_status(error: Exception, status: int, code: str, after: bool) -> None:
    found = told(error)
    assert found is not None
    assert (found.status, found.code, "Retry-After" in found.headers) == (status, code, after)
    # Where the queue and its files are is nothing for those who come over the network.
    assert not any(word in str(body(found)) for word in ("/run/x.sock", "/mnt/x"))


def test_what_is_no_error_of_ours_is_a_fault() -> None:
    assert told(ValueError("x")) is None


async def test_a_client_without_a_queue_is_told_so_without_its_address() -> None:
    with pytest.raises(errors.NotConnectedError) as caught:
        async with Client("unix:///nowhere/redis.sock"):
            pass
    assert "nowhere" not in str(told(caught.value))


@pytest.mark.parametrize("value", [None, [], "a", {"files": ["/etc/passwd"]}, {"prompt": "a", "inputs": []}])
def test_what_is_no_object_is_told_without_names_of_classes(value: object) -> None:
    with pytest.raises(ValidationError) as error:
        JobBody.model_validate(value)
    assert "must be a mapping of names to values" in str(told(error.value))
