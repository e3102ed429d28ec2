"""One Space as the registry knows it: the seed's fields, and the optional ones that override."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from spacedock._wire.wire import describe
from spacedock.errors import BadRequestError

_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,15})?) ?([KMGT])(?:i?B)?", re.IGNORECASE)
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@+-]*")
_HUB_ID = re.compile(r"(?!\.)[\w.-]+/(?!\.)[\w.-]+", re.ASCII)
_GPU_ID = re.compile(r"\d+|(GPU|MIG)-[A-Za-z0-9/-]+")
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


TYPES = ("text", "image", "audio", "video", "file", "json")
"""What a Space takes and gives; several are joined by `_and_`."""


class EntryError(BadRequestError):
    """The fields cannot be a Space's entry, or are not a client's to set."""


def _bytes(value: Any) -> Any:
    """A size such as "4GB" or "1.5 GiB" in bytes; both are powers of 1024, as in Docker."""
    if not isinstance(value, str) or value.strip().isdecimal():
        return value
    found = _SIZE.fullmatch(value.strip())
    if found is None:
        raise ValueError("not a size: give bytes, or such as 4GB")
    return int(float(found[1]) * _UNITS[found[2].upper()])


def _gpus(value: Any) -> Any:
    """The GPUs that are asked for; ids as strings, as YAML reads an index as a number."""
    ids = [str(item) for item in value] if isinstance(value, list | tuple) else []
    count = isinstance(value, int) and not isinstance(value, bool) and value > 0
    if not (value in ("none", "auto") or count or (ids and all(map(_GPU_ID.fullmatch, ids)))):
        raise ValueError("not GPUs: give none, auto, how many, or a list of ids such as 0 or GPU-8f2c")
    return tuple(ids) or value


def _named(value: Any) -> Any:
    """A list of secrets' names as a mapping: all from the Space's folder."""
    return {str(name): {} for name in value} if isinstance(value, list) else value


def _texts(value: Any) -> Any:
    """Variables as text: YAML reads `1` as a number, `true` as a truth and a bare name as nothing."""
    if not isinstance(value, dict):
        return value
    return {str(name): _text(said) for name, said in value.items()}


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    return str(value) if isinstance(value, int | float | date) else value


def _image(value: str) -> str:
    if _IMAGE.fullmatch(value) is None:
        raise ValueError("not an image's name: give one such as registry.hf.space/user-space:latest")
    return value


def _hub_id(value: str) -> str:
    if _HUB_ID.fullmatch(value) is None:
        raise ValueError("not a Space of the Hub: give it as user/space")
    return value


Size = Annotated[int, BeforeValidator(_bytes)]
Gpus = Annotated[Literal["auto", "none"] | int | tuple[str, ...], BeforeValidator(_gpus)]
SecretName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class Auth(BaseModel):
    """Credentials for an app's own login page."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    username: str
    password: str = Field(repr=False)


class OperationTemplate(BaseModel):
    """How to ask an app whose API does not describe itself, or describes itself badly.

    The strings {prompt}, {inputs.NAME} and {file.base64} in `path` and `body` stand for the job's values, in
    a "multipart" form {file} and {files} too; `response` is a JSON pointer (RFC 6901) into the answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    method: str = "POST"
    body: Any = None
    encoding: str = "json"
    response: str | None = None


class SecretSource(BaseModel):
    """Where a secret is: in a file of this host, a variable of the daemon, or a credential of systemd's.

    Without any, in the Space's folder of secrets, under the secret's name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: Path | None = None
    env: str | None = None
    credential: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")

    @model_validator(mode="after")
    def _is_one_place(self) -> Self:
        if len(self.model_fields_set) > 1:
            raise ValueError("give one of file, env and credential")
        if self.file is not None and not self.file.is_absolute():
            raise ValueError(f"'{self.file}' is not an absolute path")
        return self


class TrialCall(BaseModel):
    """What a validation asks the Space once it runs, and the kinds of the answer (`expects`).

    Without `expects` the answer is what the entry's `output_type` says. A file that the Space takes is a
    sample of ours.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: str = Field(default="", max_length=2000)
    inputs: dict[str, Any] = Field(default_factory=dict)
    expects: str | None = Field(default=None, pattern=f"^({'|'.join(TYPES)})(_and_({'|'.join(TYPES)}))*$")


class Verdict(BaseModel):
    """What a validation of the Space on this host came to: of which image (`digest`), and when (`at`, UTC).

    `deep` says that it was started and called; else `works` only means that nothing speaks against it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    works: bool
    reason: str
    at: datetime
    digest: str | None = None
    deep: bool = False


class SpaceEntry(BaseModel):
    """A row of registry.yaml's `spaces`; immutable.

    The image comes from `docker_image`, present or pulled; else it is built from `repository` (a directory
    of this host, or a tar that the worker stored), else from the Hub's `hub_id`. The types join
    kinds (text, image, audio, video, file, json) with `_and_`, as the seed has them. `base_path` is where the
    app answers, if not at the root; `adapter` how it is spoken to: "command" for a program that runs once per
    job and ends, `operation` for an API that must be told how; else that is found out.

    `memory` is in bytes, or a size such as "4GB". `gpu` is "none", "auto" (all there are), a count or a list
    of ids; `calls` how many calls the app takes at once; `runtime` the OCI runtime. `writable_root` None:
    that is found out; False: never. Without `network` the Space is always sealed, without `cache` it has no
    cache volume. `secrets` become variables of its container.

    `revision` pins a commit of the Hub's repository, `subdomain` the name that its image has there,
    `platform` the image's ("linux/amd64"), `flavour` the base that a Gradio Space is built on. `alternates`
    are the registry's names of Spaces that stand in for it first; `mcp` makes the Space a tool of its own for
    MCP clients. `trial` is the call that a validation makes; `image_digest` the image that the entry was
    written for, which a validation compares. What the Hub said when it was asked: `hardware`, `tags` and
    `likes`; `confidence` (0 to 1) is that of a category which was inferred (None: a person gave it).
    `verified` is "never" until it was validated. `discovered` says that a job named it and nobody has listed
    it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1)
    docker_image: Annotated[str, AfterValidator(_image)] | None = None
    description: str = ""
    category: str = "specialized"
    input_type: str = "text"
    output_type: str = "text"
    port: int = Field(default=7860, ge=1, le=65_535)
    status: str = "available"
    repository: str | None = None
    hub_id: Annotated[str, AfterValidator(_hub_id)] | None = None
    command: tuple[str, ...] | None = None
    base_path: str | None = Field(default=None, pattern=r"^(/[A-Za-z0-9._~-]+)*$")
    adapter: Literal["auto", "gradio", "openapi", "command"] = "auto"
    auth: Auth | None = None
    operation: OperationTemplate | None = None
    direct: bool = True
    endpoint: str | None = None
    inputs: dict[str, Any] = Field(default_factory=dict)
    env: Annotated[dict[str, str], BeforeValidator(_texts)] = Field(default_factory=dict)
    memory: Size | None = Field(default=None, ge=64 * 2**20, le=2**50)
    cpus: float | None = Field(default=None, gt=0, le=10_000)
    gpu: Gpus = "none"
    calls: int = Field(default=1, ge=1, le=64)
    runtime: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    writable_root: bool | None = None
    network: bool = True
    cache: bool = True
    secrets: Annotated[dict[SecretName, SecretSource], BeforeValidator(_named)] = Field(default_factory=dict)
    start_timeout: float | None = Field(default=None, gt=0, le=7200)
    revision: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")
    subdomain: str | None = Field(default=None, pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
    platform: str | None = Field(default=None, pattern=r"^[a-z0-9]+/[a-z0-9]+(/[a-z0-9]+)?$")
    flavour: Literal["auto", "slim", "full"] = "auto"
    alternates: tuple[str, ...] = ()
    mcp: bool = False
    trial: TrialCall | None = None
    image_digest: str | None = Field(default=None, pattern=r"^sha256:[0-9a-f]{64}$")
    hardware: str | None = None
    tags: tuple[str, ...] = ()
    likes: int | None = Field(default=None, ge=0)
    confidence: float | None = Field(default=None, ge=0, le=1)
    verified: Literal["never"] | Verdict = "never"
    discovered: bool = False

    own: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What people call the Space."""
        return self.id

    @property
    def family(self) -> str:
        """The same for all builds of the Space."""
        return self.id

    def app(self, digest: str) -> str:
        """What the notes on its app are kept by where its image has that digest: the digest.

        What does not run as the image alone has it, or came with its job, is noted apart: whoever names
        somebody's image could else have notes made of his own program.
        """
        return digest if self.is_plain else f"{self.id} {digest}"

    @property
    def is_plain(self) -> bool:
        """Whether it runs as its image alone has it, so that others on that image run the same."""
        return not self.own and self.command is None and not self.env

    @property
    def takes(self) -> frozenset[str]:
        """The kinds of input that the Space takes, such as {"text", "image"}."""
        return frozenset(self.input_type.split("_and_"))

    @property
    def gives(self) -> frozenset[str]:
        """The kinds of output that the Space gives."""
        return frozenset(self.output_type.split("_and_"))


def valid_entry(name: str, fields: Mapping[str, Any]) -> SpaceEntry:
    """The entry of that name with these fields. Raises EntryError where one is unknown or wrong."""
    try:
        return SpaceEntry.model_validate({**fields, "id": name})
    except ValidationError as error:
        raise EntryError(f"Space '{name}': {describe(error)}") from error
