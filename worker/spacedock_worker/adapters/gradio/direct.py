"""Calling a function without the app's queue: one request, one answer."""

from __future__ import annotations

from typing import Any

from spacedock_worker.adapters.faults import app_error, bad_output
from spacedock_worker.adapters.gradio.following import Follower, failure_text, outputs_of
from spacedock_worker.adapters.gradio.transport import Posting
from spacedock_worker.adapters.http import AppHttp, RefusedError


class Direct:
    """`POST /run/…`, which every version has; an app may refuse it for functions that have a queue."""

    def __init__(self, http: AppHttp, prefix: str, max_bytes: int) -> None:
        self._http, self._prefix, self._max = http, prefix, max_bytes

    async def call(self, posting: Posting, follower: Follower) -> list[Any]:
        """See `Transport.call`. Raises RefusedError too, where the app does not take calls this way."""
        follower.started = True
        try:
            # The name in the path counts for nothing where the index is there.
            output = await self._http.post_json(
                f"{self._prefix}/run/predict", posting.body, self._max, patient=True
            )
        except RefusedError as error:
            follower.completed = True
            if error.status != 500:
                raise
            raise app_error(failure_text(error.told)) from error
        follower.completed = True
        outputs = outputs_of({"output": output})
        return [_first(value) for value in outputs] if posting.batched else outputs


def _first(values: Any) -> Any:
    """One output of a batch of one."""
    if isinstance(values, list) and values:
        return values[0]
    raise bad_output("the app gave no batch where it was asked for one")
