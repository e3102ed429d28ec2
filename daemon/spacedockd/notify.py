"""What the daemon tells systemd (sd_notify(3)): ready, stopping, its status, and that it lives."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Mapping
from typing import NoReturn

import structlog

log = structlog.get_logger()

_LONGEST_PAUSE = 64.0
"""Seconds within which it is said again that the daemon waits."""


class Notifier:
    """Speaks to the service manager that `env` names, and to nobody where it names none.

    It never raises: a daemon does not fail because its manager does not listen.
    """

    def __init__(self, env: Mapping[str, str], pid: int) -> None:
        address = env.get("NOTIFY_SOCKET", "")
        # '@' stands for the zero byte that begins an abstract address.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._waits_because = ""
        watched = env.get("WATCHDOG_PID", str(pid)) == str(pid)
        micros = env.get("WATCHDOG_USEC", "") if watched else ""
        self._beat = int(micros) / 2e6 if micros.isdecimal() and int(micros) else None

    def ready(self, status: str) -> None:
        """The daemon serves, after its start."""
        self._send("READY=1", f"STATUS={status}")

    def waiting(self, event: str, what: str, why: str) -> None:
        """The daemon is not ready yet: it waits for something, and says so once for each reason."""
        if why != self._waits_because:
            log.warning(event, why=why)
        self._waits_because = why
        self._send(f"EXTEND_TIMEOUT_USEC={int(_LONGEST_PAUSE * 1e6)}", f"STATUS=waiting for {what}: {why}")

    def reloading(self) -> None:
        """The configuration is read again (Type=notify-reload)."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def reloaded(self) -> None:
        """The configuration was read; its status is as before."""
        self._send("READY=1")

    def stopping(self, status: str) -> None:
        """The daemon drains and ends."""
        self._send("STOPPING=1", f"STATUS={status}")

    def status(self, status: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={status}")

    async def watchdog(self, trouble: Callable[[], str | None]) -> NoReturn:
        """Say that all is alive, twice within the manager's limit, while there is no `trouble`."""
        while True:
            if self._beat is not None and trouble() is None:
                self._send("WATCHDOG=1")
            await asyncio.sleep(self._beat or 3600.0)

    def _send(self, *fields: str) -> None:
        if not self._address:
            return
        message = "\n".join(" ".join(field.splitlines()) for field in fields)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
                manager.setblocking(False)
                manager.sendto(message.encode(), self._address)
        except OSError as error:
            log.warning("notify.failed", why=str(error))
