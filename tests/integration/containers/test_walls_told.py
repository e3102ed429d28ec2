"""A Space that runs into a wall of its container reads which one it is, and what moves it."""

from __future__ import annotations

import pytest
from tests.integration.containers.parts import answers, ours, silent

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.pool.pool import Pool
from spacedock_worker.errors import StepError

FORKS = "import os, time\nwhile True:\n    os.fork() or (time.sleep(60), os._exit(0))"
THREADS = (
    "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(60,), daemon=True).start()"
)
FILLS = "f = open('/tmp/x', 'wb')\nwhile True: f.write(bytes(2**20))"
ROOT = "open('/var/lib/x', 'w')"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (FORKS, "It may have 64 processes and threads at once (`containers.pids`)."),
        (THREADS, "It may have 64 processes and threads at once (`containers.pids`)."),
        (
            FILLS,
            "It may write 16 MB to /tmp (`containers.tmp_size`), and 64 MB each to /var/tmp and /dev/shm.",
        ),
        (ROOT, "Its root is read-only, as its entry says: take `writable_root: false` out of it."),
    ],
)
async def test_an_app_that_a_wall_ends_says_which_one_it_is(
    engine, settings, spec, code: str, said: str
) -> None:
    small = settings.model_copy(update={"pids": 64, "tmp_size": 2**24})
    runs = spec("walled", ("python3", "-c", code), read_only=True, fixed_root=True)
    async with Pool(engine, small) as pool:
        with pytest.raises(StepError) as caught:
            async with pool.lease(runs, answers, silent):
                pass
    assert (caught.value.stage, caught.value.kind) == (Stage.READY, ErrorKind.CRASHED)
    assert str(caught.value).endswith(f"\n{said}")
    assert await ours(engine, settings.instance_id) == []


async def test_so_does_one_that_fails_in_a_call(engine, settings, spec) -> None:
    async with Pool(engine, settings) as pool:
        with pytest.raises(StepError, match=r"It may write 512 MB to /tmp"):
            async with pool.lease(spec("walled", read_only=True), answers, silent):
                raise StepError(Stage.CALL, ErrorKind.APP_ERROR, "[Errno 28] No space left on device")
