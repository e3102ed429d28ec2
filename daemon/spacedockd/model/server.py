"""The model server's process: `python -m spacedockd.model.server`, a child that ends with its daemon."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

from spacedockd.model.fetch import find_or_fetch
from spacedockd.model.gguf import GgufError
from spacedockd.model.job import NOT_INSTALLED, ServerEvent, ServerJob

_ERRORS_ONLY = 1


def main() -> NoReturn:
    """Serve the job that the first line of stdin describes, until stdin ends or a signal comes."""
    report = _Report()
    job = ServerJob.model_validate_json(sys.stdin.buffer.readline())
    threading.Thread(target=_serve, args=(job, report), daemon=True).start()
    # The daemon holds the other end open: when it dies, however it dies, this ends too.
    sys.stdin.buffer.read()
    _leave(0)


class _Report:
    """Events to the daemon, over what was stdout when the process began."""

    def __init__(self) -> None:
        # Whatever llama.cpp or a library prints goes to stderr, the daemon's log, and never between events.
        self._out = os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)

    def __call__(self, event: ServerEvent) -> None:
        self._out.write(event.model_dump_json().encode() + b"\n")


def _serve(job: ServerJob, report: _Report) -> None:
    try:
        server = _started(job, report)
    except GgufError as error:
        report(ServerEvent(event="failed", message=str(error), final=True))
        _leave(1)
    except Exception as error:  # noqa: BLE001 - the thread's boundary: whatever it was, the daemon hears of it
        # xllamacpp's error gives no reason; llama.cpp has written it to stderr.
        message = (
            f"the model server failed ({error}); the daemon's log says why. smollm.path names another model"
        )
        report(ServerEvent(event="failed", message=message, final=isinstance(error, RuntimeError)))
        _leave(1)
    threading.Event().wait()
    del server


def _started(job: ServerJob, report: _Report) -> Any:
    if importlib.util.find_spec("xllamacpp") is None:
        raise GgufError(NOT_INSTALLED)
    report(ServerEvent(event="fetching"))
    model = find_or_fetch(job.smollm, job.folders)
    report(ServerEvent(event="loading", model=model.label))
    with ThreadPoolExecutor(1) as beside:
        digest = beside.submit(model.digest)
        server = _server(job, str(model.path), model.label)
        report(ServerEvent(event="ready", model=model.label, digest=digest.result()))
    return server


def _server(job: ServerJob, path: str, label: str) -> Any:
    """llama.cpp's own HTTP server, in threads of this process, listening once the model is loaded."""
    xllamacpp = _xllamacpp()
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.model_alias = {label}
    # A host name that ends in .sock is a unix socket to llama.cpp.
    params.hostnames = [str(job.socket)]
    params.n_ctx = job.smollm.context
    params.n_parallel = job.smollm.parallel
    # One answer may use the whole context while the others leave it free.
    params.kv_unified = True
    # llama.cpp's threads wait for each other at every step: with as many as there are processors, one busy
    # container makes it ten times slower (3 instead of 30 tokens/s, measured on two processors).
    threads = job.smollm.threads or max(1, len(os.sched_getaffinity(0)) // 2)
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    # SmolLM3 would think aloud for longer than a fallback may take.
    params.enable_reasoning = 0
    # What SmolLM2's card advises; a small model wanders at llama.cpp's own 0.8, and without a penalty it can
    # fall into repeating one phrase until its limit.
    params.sampling.temp = 0.2
    params.sampling.top_p = 0.9
    params.sampling.penalty_repeat = 1.1
    params.verbosity = _ERRORS_ONLY
    # No pages, and no endpoint that shows other jobs' prompts.
    params.ui = params.endpoint_slots = params.endpoint_props = params.endpoint_metrics = False
    return xllamacpp.Server(params)


def _xllamacpp() -> Any:
    """The package: optional, without types, and heavy, so that only this process ever loads it."""
    try:
        return importlib.import_module("xllamacpp")
    except ImportError as error:
        # Its wheel carries all but OpenMP's library, which a bare Debian does not have.
        raise GgufError(f"llama.cpp cannot be loaded ({error}). On Debian: apt install libgomp1") from error


def _leave(code: int) -> NoReturn:
    """End at once: llama.cpp's threads hold nothing that needs saving, and unwinding them can hang."""
    os._exit(code)


if __name__ == "__main__":
    main()
