"""The daemon's configuration: defaults, a YAML file, SPACEDOCK_… variables, options, each over the last."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from spacedock import configuration
from spacedock._stores.store import IN_REDIS, check_url
from spacedock._wire.retention import DEFAULTS, Retention
from spacedock._wire.wire import describe
from spacedock.configuration import SOCKET, ConfigError, runtime_dir, socket_url
from spacedock.errors import BadRequestError
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.logs import LogFormat, LogLevel
from spacedock_worker.models.endpoint import ModelEndpoint
from spacedock_worker.settings import WorkerSettings
from spacedockd import paths
from spacedockd.http.settings import HttpSettings, WebhookSettings
from spacedockd.model.job import SmolLMSettings
from spacedockd.valkey import share_of_host

PREFIX = "SPACEDOCK_"
_NOT_SETTINGS = frozenset({configuration.VARIABLE})
_CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE")


def _unless_off(value: object) -> object:
    """A section that is switched off (YAML reads `off` as false) is none."""
    return None if value is False else value


class DaemonSettings(BaseModel):
    """Everything that can be configured; nothing needs to be. Times are in seconds.

    Without `redis_url` the daemon runs a Valkey of its own, which may hold `queue_memory` bytes (None: an
    eighth of this host's memory). `registry` is registry.yaml's place,
    `secrets_dir` that of the Spaces' secrets (SPACE/NAME; default: `secrets` in `state_dir`), `lock` that of
    the lock file (None: spacedock.lock beside the registry, if it is there).
    `retention` is how long the queue keeps what, `files` where its large files are (`redis`, `file:///FOLDER`
    or `s3://BUCKET/PREFIX`; None: as other hosts say, and without `redis_url` a folder in `state_dir`); both
    count for all hosts of the queue.
    `default_model` replaces the SmolLM server that the daemon would run. `models_as` says which Space,
    category or tier a model's name of OpenAI's API means, for batch files and over HTTP. `http` is the door
    for other software; `off` closes it. `webhooks` says where webhooks may go.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    redis_url: str | None = None
    queue_memory: int | None = Field(default=None, ge=2**26)
    state_dir: Path
    runtime_dir: Path
    registry: Path | None = None
    secrets_dir: Path | None = None
    lock: Path | None = None
    retention: Retention = DEFAULTS
    files: str | None = None
    max_jobs: int = Field(default=128, ge=1)
    drain_seconds: float = Field(default=30.0, ge=0, le=86_400)
    images: ImageSettings = ImageSettings()
    containers: ContainerSettings
    models: tuple[ModelEndpoint, ...] = ()
    look_for_models: bool = True
    default_model: ModelEndpoint | None = None
    models_as: dict[str, str] = Field(default_factory=dict)
    smollm: SmolLMSettings = SmolLMSettings()
    http: Annotated[
        HttpSettings | None,
        BeforeValidator(_unless_off, json_schema_input_type=HttpSettings | Literal[False]),
    ] = HttpSettings()
    webhooks: WebhookSettings = WebhookSettings()
    log_format: LogFormat = "auto"
    log_level: LogLevel = "info"

    @field_validator("files")
    @classmethod
    def _is_where_files_can_be(cls, url: str | None) -> str | None:
        try:
            checked = None if url is None else check_url(url)
        except BadRequestError as error:
            raise ValueError(str(error)) from None
        if (checked or "").startswith("s3:") and find_spec("obstore") is None:
            raise ValueError("the library for buckets is not installed: pip install 'hf-spacedock[s3]'")
        return checked

    @property
    def own_files(self) -> Path:
        """The folder of large files beside the embedded Valkey's own."""
        return self.state_dir / "valkey/files"

    @property
    def socket(self) -> Path:
        """The unix socket of the daemon's own Valkey."""
        return self.runtime_dir / SOCKET

    @property
    def worker_metrics(self) -> Path:
        """The unix socket on which the worker tells what it counts."""
        return self.runtime_dir / "worker-metrics.sock"

    @property
    def valkey_memory(self) -> int:
        """The bytes that the daemon's own Valkey may hold, which no container gets; 0 without one."""
        return 0 if self.redis_url is not None else self.queue_memory or share_of_host()

    def worker(self, default_model: ModelEndpoint | None) -> WorkerSettings:
        """What the worker is told. `default_model` is the daemon's own server, if it runs one."""
        return WorkerSettings(
            redis_url=self.redis_url or socket_url(self.socket),
            files=self.files if self.files != IN_REDIS else None,
            registry=self.registry or self.state_dir / "registry.yaml",
            repositories=self.state_dir / "repositories",
            secrets=self.secrets_dir or self.state_dir / "secrets",
            state=self.state_dir,
            lock=self.lock,
            metrics=self.worker_metrics,
            max_jobs=self.max_jobs,
            drain_seconds=self.drain_seconds,
            images=self.images.model_copy(
                update={"scratch": self.images.scratch or self.state_dir / "downloads"}
            ),
            containers=self.containers.model_copy(
                update={
                    "state": self.state_dir / "containers",
                    "memory_reserve": self.containers.memory_reserve + self.valkey_memory,
                }
            ),
            models=self.models,
            look_for_models=self.look_for_models,
            default_model=self.default_model or default_model,
            log_format=self.log_format,
            log_level=self.log_level,
        )


def load(config: Path | None, options: Mapping[str, Any], env: Mapping[str, str], uid: int) -> DaemonSettings:
    """`read`, and make the state directory with its identity. Raises ConfigError, SpacedockError."""
    found = read(config, options, env, uid)
    paths.make_private(found.state_dir)
    if found.containers.instance_id != _NOT_MADE:
        return found
    made = found.containers.model_copy(update={"instance_id": paths.instance_id(found.state_dir)})
    return found.model_copy(update={"containers": made})


_NOT_MADE = "not-made-yet"
"""The identity of a state directory that is not there yet."""


def read(config: Path | None, options: Mapping[str, Any], env: Mapping[str, str], uid: int) -> DaemonSettings:
    """The configuration; `options` (from the command line) go before variables, those before the file.

    Changes nothing. Raises ConfigError. A file that is named must exist; the default one need not.
    """
    fields = configuration.fields_of(config, env, uid)
    _merge(fields, _from_environment(env))
    _merge(fields, options)
    # An empty value is none given: in a file, a key whose lines are all commented out.
    return settled({key: value for key, value in fields.items() if value is not None}, env, uid)


def settled(fields: dict[str, Any], env: Mapping[str, str], uid: int) -> DaemonSettings:
    """The settings that these fields give, with what the environment says where they are silent.

    Raises ConfigError.
    """
    _check_keys(fields)
    if "redis_url" not in fields and (url := _credential(env, "redis-url")):
        fields["redis_url"] = url
    state_dir = _directory(fields, "state_dir", paths.default_state_dir(env, uid))
    runtime = _directory(fields, "runtime_dir", runtime_dir(env, uid))
    if _is_socket(fields.get("redis_url"), runtime / SOCKET):
        # What clients are told of this daemon's own queue: nobody else would start it.
        del fields["redis_url"]
    _section(fields, "containers").setdefault("instance_id", paths.known_id(state_dir) or _NOT_MADE)
    images = _section(fields, "images")
    images.setdefault("ca_bundle", _ca_bundle(env))
    images.setdefault("docker_config", _docker_config(env))
    images.setdefault("hub_token", env.get("HF_TOKEN") or _credential(env, "hf-token"))
    try:
        return DaemonSettings.model_validate(fields)
    except ValidationError as error:
        raise ConfigError(f"the configuration is wrong: {describe(error)}") from error


def _from_environment(env: Mapping[str, str]) -> dict[str, Any]:
    """SPACEDOCK_REDIS_URL, SPACEDOCK_CONTAINERS__MEMORY, …; values are YAML, `__` enters a section."""
    fields: dict[str, Any] = {}
    for name, value in env.items():
        if not name.startswith(PREFIX) or name in _NOT_SETTINGS:
            continue
        *sections, key = name.removeprefix(PREFIX).lower().split("__")
        place = fields
        for section in sections:
            place = _section(place, section)
        try:
            place[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            # The parser's own words quote the value, which may be a secret.
            raise ConfigError(f"the value of {name} is not YAML: put it in quotes") from None
    return fields


def _credential(env: Mapping[str, str], name: str) -> str | None:
    """A secret that systemd hands over (LoadCredential), without its line end; None where there is none."""
    folder = env.get("CREDENTIALS_DIRECTORY")
    if not folder or not (path := Path(folder, name)).is_file():
        return None
    return path.read_text(encoding="utf-8").strip()


def _merge(into: dict[str, Any], other: Mapping[str, Any]) -> None:
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _check_keys(fields: Mapping[str, Any]) -> None:
    unknown = sorted(str(key) for key in fields.keys() - DaemonSettings.model_fields.keys())
    if unknown:
        known = ", ".join(sorted(DaemonSettings.model_fields))
        raise ConfigError(f"unknown configuration key '{unknown[0]}'. Known: {known}.")


def _directory(fields: dict[str, Any], name: str, default: Path) -> Path:
    given = fields.setdefault(name, default)
    if not isinstance(given, str | Path):
        raise ConfigError(f"'{name}' is not a path")
    fields[name] = Path(given).absolute()
    return Path(given).absolute()


def _is_socket(url: Any, socket: Path) -> bool:
    """Whether the address is that of this unix socket, however its path is written."""
    named = str(url).strip().removeprefix("unix://")
    return named.startswith("/") and Path(named).resolve() == socket.resolve()


def _section(fields: dict[str, Any], name: str) -> dict[str, Any]:
    section = fields.setdefault(name, {})
    if not isinstance(section, dict):
        raise ConfigError(f"'{name}' is not a section of the configuration")
    return section


def _ca_bundle(env: Mapping[str, str]) -> Path | None:
    """The CA file that this machine's own programs are told to trust, as behind a company's proxy."""
    named = (Path(env[variable]) for variable in _CA_VARIABLES if env.get(variable))
    return next((path for path in named if path.is_file()), None)


def _docker_config(env: Mapping[str, str]) -> Path | None:
    """The folder where `docker login` of this user keeps its logins."""
    if named := env.get("DOCKER_CONFIG"):
        return Path(named)
    return Path(env["HOME"], ".docker") if env.get("HOME") else None
