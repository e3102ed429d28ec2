"""A real daemon on a state directory of its own, and the `spacedock` command pointed at it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from tests.commands import BIN, run_command

SPACES = Path(__file__).parent.parent / "spaces"
FIXTURES = SPACES / "fixtures"
START_SECONDS = 60.0
STOP_SECONDS = 90.0
OWNER_LABEL = "io.spacedock.owner"

TEXT, IMAGE, AUDIO, FILE = "text", "image", "audio", "file"
_KINDS = {
    "sentiment": (TEXT, TEXT, "text_processing"),
    "mood": (TEXT, TEXT, "text_processing"),
    "summarise": (TEXT, TEXT, "summaries"),
    "ocr": (IMAGE, TEXT, "image_processing"),
    "transcribe": (AUDIO, TEXT, "audio_processing"),
    "echo-file": (FILE, FILE, "files"),
    "picture": (TEXT, IMAGE, "pictures"),
    "docker-gradio": (TEXT, TEXT, "docker"),
    "broken-import": (TEXT, TEXT, "text_processing"),
    "broken-painter": (TEXT, IMAGE, "painting"),
    "broken-build": (TEXT, TEXT, "broken"),
    "broken-never-ready": (TEXT, TEXT, "broken"),
    "broken-error": (TEXT, TEXT, "broken"),
    "broken-hang": (TEXT, TEXT, "broken"),
    "broken-memory": (TEXT, TEXT, "broken"),
    "openapi-sentiment": (TEXT, TEXT, "apis"),
    "command-count": (TEXT, TEXT, "programs"),
    "g-auth": (TEXT, TEXT, "logins"),
    "g-buttons": (TEXT, TEXT, "buttons"),
    "g-generator": (TEXT, TEXT, "streams"),
    "g-long": (TEXT, TEXT, "streams"),
    "streamlit": (TEXT, TEXT, "pages"),
    "static": (TEXT, TEXT, "pages"),
}
_REPOSITORIES = {"broken-painter": "broken-import"}
_MORE: dict[str, dict[str, Any]] = {
    "command-count": {"adapter": "command"},
    "g-auth": {"auth": {"username": "ada", "password": "lovelace"}},
    "broken-never-ready": {"start_timeout": 6.0},
    "broken-memory": {"memory": 400 * 2**20},
}


def registry() -> dict[str, Any]:
    """A registry of the test Spaces, as registry.yaml has it."""
    spaces = {
        name: {
            "id": name,
            "repository": str(SPACES / _REPOSITORIES.get(name, name)),
            "category": category,
            "input_type": takes,
            "output_type": gives,
            **_MORE.get(name, {}),
        }
        for name, (takes, gives, category) in _KINDS.items()
    }
    return {"spaces": spaces}


@dataclass(slots=True)
class Daemon:
    """A running `spacedockd`, its folder, and the `spacedock` command pointed at it."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    within: tuple[str, ...] = ()
    """The command that it is started by, such as one that enters a network namespace."""

    @property
    def url(self) -> str:
        return f"unix://{self.folder}/run/redis.sock"

    @property
    def id(self) -> str:
        """What the hosts of a queue know it by."""
        return (self.folder / "state" / "instance-id").read_text().strip()

    def declare(self, name: str, fields: dict[str, Any] | None) -> None:
        """Have a person write a Space into its registry.yaml, or take it out (None)."""
        path = self.folder / "registry.yaml"
        document = yaml.safe_load(path.read_text())
        document["spaces"].pop(name, None)
        if fields is not None:
            document["spaces"][name] = {"id": name, **fields}
        path.write_text(yaml.safe_dump(document))

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def events(self) -> list[dict[str, Any]]:
        lines = self.log.splitlines(keepends=True)
        # The last one may be half written.
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")]

    def start(self) -> None:
        command = [*self.within, str(BIN / "spacedockd")]
        command += ["--state-dir", f"{self.folder}/state", "--runtime-dir", f"{self.folder}/run"]
        with (self.folder / "log").open("ab") as log:
            before = sum(event["event"] == "daemon.ready" for event in self.events)
            self.process = subprocess.Popen(command, env=self.env, stderr=log, start_new_session=True)
        self.await_event("daemon.ready", count=before + 1)

    def await_event(self, name: str, count: int = 1, **fields: Any) -> dict[str, Any]:
        """Wait until the log has the event, with these fields, for the `count`-th time."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            wanted = {"event": name, **fields}.items()
            found = [event for event in self.events if wanted <= event.items()]
            if len(found) >= count:
                return found[count - 1]
            assert self.process is not None
            assert self.process.poll() is None, self.log
            # A log file offers nothing to wait on.
            time.sleep(0.05)
        raise AssertionError(f"no {count}. event {name} in the log:\n{self.log}")

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """Stop the daemon and return its exit code; again is safe."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signum)
        return self.process.wait(STOP_SECONDS)

    def remove(self) -> None:
        """Stop the daemon, and remove its folder and the caches that outlive it by intention."""
        if self.process is not None:
            self.stop()
        if (self.folder / "state" / "instance-id").exists():
            # Some tests give their daemon an engine that is not there, or is no longer.
            with suppress(subprocess.CalledProcessError):
                if names := self.docker("volume", "ls", "--quiet", "--filter", self.owned):
                    self.docker("volume", "rm", *names)
        shutil.rmtree(self.folder, ignore_errors=True)

    def spacedock(self, *arguments: str | Path, stdin: str = "", limit: float = 280) -> Ran:
        """Run the `spacedock` command."""
        env = {**self.env, "SPACEDOCK_REDIS_URL": self.url}
        return Ran(*run_command([*map(str, arguments)], env, stdin, limit))

    def containers(self) -> list[str]:
        """The ids of this daemon's containers, running or not."""
        return self.docker("ps", "--all", "--quiet", "--filter", self.owned)

    @property
    def owned(self) -> str:
        """The filter for what is this daemon's on its engine."""
        return f"label={OWNER_LABEL}={self.id}"

    def docker(self, *arguments: str) -> list[str]:
        """The words that `docker` prints of this daemon's engine."""
        host = self.env.get("SPACEDOCK_CONTAINERS__DOCKER_HOST")
        command = ["docker", *(["--host", host] if host else []), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def new_daemon(env: Mapping[str, str], **settings: str) -> Daemon:
    """A daemon with a folder of its own and these settings, which is yet to be started."""
    # Not pytest's own folders: their paths are too long for a unix socket.
    folder = Path(tempfile.mkdtemp(prefix="sd-"))
    (folder / "registry.yaml").write_text(yaml.safe_dump(registry()))
    whole = {
        **env,
        "SPACEDOCK_REGISTRY": str(folder / "registry.yaml"),
        "SPACEDOCK_LOOK_FOR_MODELS": "false",
        "SPACEDOCK_SMOLLM__HUB": "false",
        # Gradio 6 takes 3% of a core while it does nothing.
        "SPACEDOCK_CONTAINERS__PAUSE_SECONDS": "2",
        "SPACEDOCK_LOG_FORMAT": "json",
        "XDG_STATE_HOME": str(folder / "client-state"),
    }
    whole |= {f"SPACEDOCK_{name.upper()}": value for name, value in settings.items()}
    return Daemon(folder, whole)


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def result(self) -> dict[str, Any]:
        """Standard output as JSON."""
        assert self.out, self.err
        parsed: dict[str, Any] = json.loads(self.out)
        return parsed
