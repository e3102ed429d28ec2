"""Building an image with BuildKit, in a container of its own that holds what the engine's own would not."""

from __future__ import annotations

import asyncio
import re
import secrets as tokens
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import IO, Any

import structlog

from spacedock.errors import SpacedockError
from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.docker.archive import pack
from spacedock_worker.containers.docker.container import RunningContainer
from spacedock_worker.containers.docker.create_body import OWNER_LABEL
from spacedock_worker.containers.docker.engine import Engine, EngineRefusedError
from spacedock_worker.containers.docker.image_stream import ImageStream
from spacedock_worker.containers.docker.log_tail import masked
from spacedock_worker.errors import StepError, full_disk, tells_full_disk
from spacedock_worker.images.build.build import BuildLimits, failed, found_no_room
from spacedock_worker.images.build.context import BuildContext
from spacedock_worker.images.progress import buildkit_progress
from spacedock_worker.images.pulls import inspect

log = structlog.get_logger()

_SCRIPT = files(__package__).joinpath("buildkit.sh").read_text()
_NO_ENGINE = 90
_PIDS = 4096
_STEPS_HAVE = (
    *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"),
    *("NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
)
"""Docker's default capabilities, which are not those of every engine."""

_ENGINE_HAS = ("SYS_ADMIN", "NET_ADMIN")
"""For mounts and namespaces, and for the loopback of a step without a network."""

_CHUNK = 2**20
_KILLED = "exit code: 137"
_OLDER = re.compile(r"unknown (?:flag|instruction)|unexpected key|invalid (?:mount|flag)|not supported")


class NoBuilderError(StepError):
    """BuildKit does not run in a container of this host's engine."""


@dataclass(frozen=True, slots=True)
class BuildKitJob:
    """What is built: by `image`, which has BuildKit in it, on the `bases` of this host; and for `owner`.

    The `secrets` are those that the Dockerfile's steps mount, with their values.
    """

    image: str
    context: BuildContext
    tag: str
    labels: Mapping[str, str]
    bases: Collection[str] = ()
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    owner: str | None = None

    @property
    def saved(self) -> list[str]:
        """The bases that are handed in; by a digest an engine saves no name, so BuildKit pulls that one."""
        return sorted(base for base in self.bases if "@" not in base)


class BuildKitBuild:
    """One build, in a container that goes with it."""

    def __init__(
        self, engine: Engine, job: BuildKitJob, limits: BuildLimits, on_progress: Callable[[str], None]
    ) -> None:
        self._engine, self._job, self._limits, self._tell = engine, job, limits, on_progress
        self._container = RunningContainer(engine, f"spacedock-build-{tokens.token_hex(4)}")
        self._stream = ImageStream(engine, Stage.BUILD)
        self._hearing = Hearing(on_progress)

    async def run(self) -> dict[str, Any]:
        """Build the image, and return what the engine knows of it.

        Where it is cancelled or takes too long, its container goes, and all that runs in it ends. Raises
        StepError `build_failed` with the last lines that the build said, `out_of_disk`, `docker_unavailable`;
        NoBuilderError.
        """
        try:
            async with asyncio.timeout(self._limits.seconds):
                await self._run()
        except TimeoutError as error:
            why = f"not built after {self._limits.seconds:g} s (`images.build_timeout`)"
            raise self._failed(why) from error
        finally:
            await asyncio.shield(self._container.remove())
        if (found := await inspect(self._engine, self._job.tag, Stage.BUILD)) is None:
            raise self._failed("the Docker Engine has not kept it")
        log.info("image.built", image=self._job.tag, buildkit=True)
        return found

    async def _run(self) -> None:
        try:
            self._tell("handing the files and base images to BuildKit")
            await self._container.create(create_body(self._job, self._limits))
            await self._put()
            await self._container.start()
        except EngineRefusedError as error:
            if tells_full_disk(error.message):
                raise full_disk(Stage.BUILD, f"{self._job.tag} cannot be built") from error
            if "no such container" in error.message.lower():
                raise _gone() from error
            raise _no_builder(error.message) from error
        await self._follow()
        await self._check(await self._state())
        self._tell("taking the image over from BuildKit")
        try:
            async with self._stream.folder(self._container.name, "/build/out") as chunks:
                await self._stream.load(chunks)
        except (SpacedockError, EngineRefusedError) as error:
            if isinstance(error, StepError):
                raise
            if tells_full_disk(str(error)):
                raise full_disk(Stage.BUILD, f"{self._job.tag} cannot be built") from error
            raise self._failed(str(error)) from error

    async def _put(self) -> None:
        name, folders = self._container.name, ("build", "build/context", "build/images", "build/out")
        await self._stream.unpack(name, "/", pack({}, folders))
        await self._stream.unpack(name, "/build/context", _chunks(self._job.context.tar))
        if self._job.saved:
            async with self._stream.saved(self._job.saved) as chunks:
                await self._stream.unpack(name, "/build/images", chunks)

    async def _follow(self) -> None:
        async with self._engine.stream(Stage.BUILD, self._limits.seconds) as docker:
            container = docker.containers.container(self._container.name)
            async for text in container.log(stdout=True, stderr=True, follow=True):
                self._hearing.hear(text)

    async def _state(self) -> Mapping[str, Any]:
        """How the container ended; it may take its engine a moment to notice."""
        try:
            async with self._engine.call(Stage.BUILD) as docker:
                container = docker.containers.container(self._container.name)
                await container.wait()
                state: dict[str, Any] = (await container.show())["State"]
                return state
        except EngineRefusedError as error:
            if not error.not_found:
                raise
            raise _gone() from error

    async def _check(self, state: Mapping[str, Any]) -> None:
        code = state.get("ExitCode")
        if code == 0:
            return
        if code == _NO_ENGINE:
            raise _no_builder(" ".join(self._hearing.said) or self._hearing.last)
        why = self._hearing.error or self._hearing.last or f"its container ended with exit code {code}"
        if tells_full_disk(why) or await found_no_room(self._engine, self._hearing.said):
            raise full_disk(Stage.BUILD, f"{self._job.tag} cannot be built")
        if state.get("OOMKilled") or _KILLED in why:
            gigabytes = self._limits.memory / 2**30
            why += f" (killed; a build may take {gigabytes:g} GB, see `images.build_memory`)"
        elif _OLDER.search(why):
            why += " (a newer BuildKit may know it: name an image that has one in `images.buildkit_image`)"
        raise self._failed(why)

    def _failed(self, why: str) -> StepError:
        error = failed(self._job.tag, self._hearing.said, why)
        return error.copy(masked(str(error), self._job.secrets))


def create_body(job: BuildKitJob, limits: BuildLimits) -> dict[str, Any]:
    """The body of `POST /containers/create` for a build (pure)."""
    variables = {f"SPACEDOCK_SECRET_{number}": value for number, value in enumerate(job.secrets.values())}
    environment = {"IMAGE": job.tag, "BASES": " ".join(job.saved), **variables}
    # An end that also comes where nobody is left to ask for it.
    deadline = ["timeout", "-k", "5", str(int(limits.seconds) + 60)]
    return {
        "Image": job.image,
        "User": "0:0",
        "Entrypoint": [*deadline, "sh", "-c", _SCRIPT, "build"],
        "Cmd": list(_arguments(job, tuple(variables))),
        "Env": [f"{name}={value}" for name, value in environment.items()],
        "Labels": {} if job.owner is None else {OWNER_LABEL: job.owner},
        # An engine needs a disk of its own: the root of a container is no place for one's layers.
        "Volumes": {"/engine": {}},
        "HostConfig": {
            **({} if limits.network is None else {"NetworkMode": limits.network}),
            "Memory": limits.memory,
            # The same: no swap besides.
            "MemorySwap": limits.memory,
            "PidsLimit": _PIDS,
            "CgroupnsMode": "private",
            "IpcMode": "private",
            "CapDrop": ["ALL"],
            "CapAdd": [*_STEPS_HAVE, *_ENGINE_HAS],
            # The engine in it gives each step its own profile.
            "SecurityOpt": ["seccomp=unconfined", "apparmor=unconfined", "label=disable"],
            "Init": True,
            "RestartPolicy": {"Name": "no"},
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "2"}},
        },
    }


def _arguments(job: BuildKitJob, variables: Sequence[str]) -> Sequence[str]:
    labels = [f"--label={name}={value}" for name, value in job.labels.items()]
    secrets = zip(job.secrets, variables, strict=True)
    return [*labels, *(f"--secret=id={name},env={variable}" for name, variable in secrets)]


async def _chunks(content: IO[bytes]) -> AsyncIterator[bytes]:
    while chunk := await asyncio.to_thread(content.read, _CHUNK):
        yield chunk


def _gone() -> StepError:
    message = "the container of the build was removed while it ran. Try it again."
    return StepError(Stage.BUILD, ErrorKind.DOCKER_UNAVAILABLE, message, host=True)


def _no_builder(why: str) -> NoBuilderError:
    message = f"BuildKit does not start in a container of this host's engine ({why[-300:]})"
    return NoBuilderError(Stage.BUILD, ErrorKind.UNSUPPORTED, message, ours=True)


_KEPT_LINES = 400
_LONGEST_LINE = 4096
_SAID = re.compile(r"#(\d+) \d+\.\d+ (.*)")
_FAILED = re.compile(r"#(\d+) ERROR:")
_ERROR = re.compile(r"ERROR: (?:failed to solve: )?(.*)")


class Hearing:
    """What BuildKit says, line by line: the steps for people, and what the one that failed said itself.

    Stages are built beside each other, so that their lines are mixed; each has the number of its step.
    """

    def __init__(self, on_progress: Callable[[str], None]) -> None:
        self.error = self.last = ""
        self._lines: deque[tuple[str, str]] = deque(maxlen=_KEPT_LINES)
        self._failed = ""
        self._on_progress, self._rest = on_progress, ""

    @property
    def said(self) -> list[str]:
        """The last lines of the step that failed; of all, where none did."""
        return [line for step, line in self._lines if self._failed in ("", step)]

    def hear(self, text: str) -> None:
        """Take the next piece of the log, which may end within a line."""
        *lines, rest = (self._rest + text).split("\n")
        self._rest = rest[:_LONGEST_LINE]
        for line in lines:
            self._line(line)

    def _line(self, line: str) -> None:
        if step := buildkit_progress(line):
            self._on_progress(step)
        elif said := _SAID.match(line):
            self._lines.append((said[1], said[2]))
        elif failed_step := _FAILED.match(line):
            self._failed = failed_step[1]
        elif error := _ERROR.match(line):
            self.error = error[1].strip()
        elif line.startswith("engine: "):
            self._lines.append(("", line.removeprefix("engine: ")))
        elif line and not line.startswith("#"):
            # What the engine says where it can neither load nor save an image.
            self.last = line
