"""One Space as the registry knows it: the seed's fields, and the optional ones that override."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Auth(BaseModel):
    """Credentials for an app's own login page."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    username: str
    password: str = Field(repr=False)


class Operation(BaseModel):
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


class SpaceEntry(BaseModel):
    """A row of registry.yaml's `spaces`; immutable.

    The image comes from `docker_image`, present or pulled; else it is built from `repository` (a directory
    of this host, or a tar that the worker stored), else from the Hub's `hub_id`. The types join
    kinds (text, image, audio, video, file, json) with `_and_`, as the seed has them. `base_path` is where the
    app answers, if not at the root; `adapter` how it is spoken to: "command" for a program that runs once per
    job and ends, `operation` for an API that must be told how; else that is found out. `memory` is in bytes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1)
    docker_image: str | None = None
    description: str = ""
    category: str = "specialized"
    input_type: str = "text"
    output_type: str = "text"
    port: int = Field(default=7860, ge=1, le=65_535)
    status: str = "available"
    repository: str | None = None
    hub_id: str | None = None
    command: tuple[str, ...] | None = None
    base_path: str | None = Field(default=None, pattern=r"^(/[A-Za-z0-9._~-]+)*$")
    adapter: Literal["auto", "gradio", "openapi", "command"] = "auto"
    auth: Auth | None = None
    operation: Operation | None = None
    direct: bool = True
    endpoint: str | None = None
    inputs: dict[str, Any] = Field(default_factory=dict)
    env: dict[str, str] = Field(default_factory=dict)
    memory: int | None = Field(default=None, ge=64 * 2**20)
    start_timeout: float | None = Field(default=None, gt=0)

    @property
    def takes(self) -> frozenset[str]:
        """The kinds of input that the Space takes, such as {"text", "image"}."""
        return frozenset(self.input_type.split("_and_"))

    @property
    def gives(self) -> frozenset[str]:
        """The kinds of output that the Space gives."""
        return frozenset(self.output_type.split("_and_"))
