"""What the model server is told, and what it reports: one JSON line each over its stdin and stdout."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Which = Literal["auto", "smollm3", "stand-in"]
"""A model to fetch: `auto` is SmolLM3 where the Hub can be reached, else its stand-in."""

NOT_INSTALLED = "llama.cpp is not installed: pip install 'hf-spacedock[smollm]', or configure an endpoint"


class SmolLMSettings(BaseModel):
    """Which GGUF answers as the system default; immutable.

    `path` is a GGUF of this host; `hub` allows fetching SmolLM3 (1.9 GB) from the Hub, where there is
    neither a path nor a model fetched before. `context` is in tokens, shared by `parallel` answers at a
    time; `threads` of 0 means half of this host's processors. Times are seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path | None = None
    hub: bool = True
    context: int = Field(default=4096, ge=512)
    parallel: int = Field(default=2, ge=1, le=64)
    threads: int = Field(default=0, ge=0)
    idle_seconds: float = Field(default=300.0, gt=0)
    load_seconds: float = Field(default=120.0, gt=0, le=7200)
    fetch_seconds: float = Field(default=1800.0, gt=0, le=86_400)


class ServerJob(BaseModel):
    """What one model server is to do: which model, where to look for it, and the socket to serve on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    smollm: SmolLMSettings
    folders: tuple[Path, ...]
    socket: Path


class ServerEvent(BaseModel):
    """One report of the model server. `digest` is that of the model's file, told once it is ready.

    `final` marks a failure that another start does not heal.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    event: Literal["fetching", "loading", "ready", "failed"]
    model: str | None = None
    digest: str | None = None
    message: str = ""
    final: bool = False
