"""The secrets of Spaces: read on this host when a container is to start, never from the queue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.docker.log_tail import masked
from spacedock_worker.errors import StepError
from spacedock_worker.images.source import SecretsOf
from spacedock_worker.jobs.chain import EmitStep
from spacedock_worker.registry.entry import SecretSource, SpaceEntry

MAX_BYTES = 64 * 2**10


class Secrets:
    """Looks up what registry entries name: in files, in `env` (the daemon's environment), in `folder`.

    `folder` has a folder for each Space, with a file for each of its secrets; None: there is none.
    """

    def __init__(self, folder: Path | None, env: Mapping[str, str]) -> None:
        self._folder, self._env = folder, env

    async def of(self, entry: SpaceEntry) -> dict[str, str]:
        """The values of a Space's secrets by name. Raises StepError `start_failed` where one is missing."""
        if not entry.secrets:
            return {}
        return await asyncio.to_thread(self._read, entry)

    def by_name(self, spaces: Callable[[], Mapping[str, SpaceEntry]]) -> SecretsOf:
        """What gives those of a Space of the registry by its name; of others, none."""

        async def of(name: str) -> dict[str, str]:
            entry = spaces().get(name)
            return {} if entry is None else await self.of(entry)

        return of

    def _read(self, entry: SpaceEntry) -> dict[str, str]:
        return {name: self._value(entry.id, name, source) for name, source in entry.secrets.items()}

    def _value(self, space: str, name: str, source: SecretSource) -> str:
        if source.env is not None:
            value = self._env.get(source.env)
            if not value:
                raise _missing(space, name, f"the daemon's environment has no {source.env}")
            return value
        path = self._path(space, name, source)
        try:
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
            value = data.decode().rstrip("\r\n")
        except FileNotFoundError:
            raise _missing(space, name, f"there is no file {path}") from None
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
            raise _missing(space, name, f"{path} cannot be read ({why})") from None
        if not value or len(data) > MAX_BYTES or "\0" in value:
            raise _missing(space, name, f"{path} is empty, longer than 64 KB, or has a zero byte")
        return value

    def _path(self, space: str, name: str, source: SecretSource) -> Path:
        if source.file is not None:
            return source.file
        if source.credential is not None:
            folder = self._env.get("CREDENTIALS_DIRECTORY")
            if not folder:
                raise _missing(space, name, "systemd has handed over no credentials (LoadCredential=)")
            return Path(folder, source.credential)
        if self._folder is None or ".." in Path(space).parts or Path(space).is_absolute():
            raise _missing(space, name, "there is no folder of secrets for it")
        return self._folder / space / name


def _missing(space: str, name: str, where: str) -> StepError:
    message = f"the secret {name} of {space} is missing: {where}. Put it there, or correct `secrets`."
    return StepError(Stage.START, ErrorKind.START_FAILED, message, ours=True)


def tell_masked(
    tell: EmitStep, secrets: Mapping[str, str], stage: Stage, name: str, message: str, growing: str | None
) -> None:
    """Announces what an app says without the secrets that it was given."""
    tell(stage, name, masked(message, secrets), None if growing is None else masked(growing, secrets))


@contextmanager
def unquoted(secrets: Mapping[str, str]) -> Iterator[None]:
    """Takes the values of secrets out of the errors of a step."""
    try:
        yield
    except StepError as error:
        clean = masked(str(error), secrets)
        if clean == str(error):
            raise
        raise error.copy(clean) from None
