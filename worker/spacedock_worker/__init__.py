"""Spacedock's worker: runs jobs in containers of Spaces and on local models; and how such a process loads."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

UNUSED = ("cryptography", "greenlet", "rich")
"""redis and PyJWT take the first, structlog the others; the service uses nothing that they add."""


@contextmanager
def light_imports() -> Iterator[None]:
    """Import in the block without `UNUSED`, and without looking for garbage, which loading leaves none of.

    Whatever imports one of them after the block gets it.
    """
    hidden = [name for name in UNUSED if name not in sys.modules]
    gc.disable()
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: not to be found
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
        gc.freeze()
        gc.enable()
