"""A worker without a free file descriptor lets its jobs wait, and fails none of them."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from aiodocker.exceptions import DockerError

from spacedock.result import Stage
from spacedock_worker.adapters.http import _breaks_told
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.errors import HostBusyError
from spacedock_worker.images.build.repository import _walk

NONE_LEFT = OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def test_an_engine_that_cannot_be_connected_to_is_not_away() -> None:
    words = f"Cannot connect to Docker Engine [{NONE_LEFT.strerror}]"
    with pytest.raises(HostBusyError, match="too many files"), Engine()._translated(Stage.START):
        raise DockerError(900, words)


def test_an_app_that_cannot_be_connected_to_has_not_crashed() -> None:
    with pytest.raises(HostBusyError, match="too many files"), _breaks_told():
        raise NONE_LEFT


def test_a_folder_that_cannot_be_opened_is_no_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Any) -> Any:
        raise NONE_LEFT

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(OSError, match="Too many open files"):
        list(_walk(tmp_path))
