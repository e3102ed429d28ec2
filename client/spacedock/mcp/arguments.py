"""The arguments of the tools that are always there; their fields are the tools' schemas."""

from __future__ import annotations

from typing import Any, Literal

from mcp_types import Tool, ToolAnnotations
from pydantic import BaseModel, ConfigDict, Field

_FILE = "a resource URI (spacedock://files/SHA256) or a data: URI in base64"


class ToolArguments(BaseModel):
    """What a tool is given; its docstring is what a model reads of the tool."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RunSpace(ToolArguments):
    """Run a prompt, files or named inputs through a Hugging Face Space on the user's own machines.

    Name a Space, or a category, or neither: then the best fit answers. A call that takes long returns the
    id of a job that goes on: ask job_status.
    """

    prompt: str = Field(default="", description="What to ask; may be empty where there are files or inputs.")
    space: str | None = Field(default=None, description="A name in the registry, or a Hub id user/space.")
    category: str | None = Field(default=None, description="Any Space of this category may answer.")
    files: list[str] = Field(default=[], max_length=100, description=f"Each {_FILE}.")
    inputs: dict[str, Any] = Field(
        default={},
        description="Inputs of the endpoint by name, as describe_space lists them. For an input that takes a "
        "file, give the URI of one of `files`.",
    )
    endpoint: str | None = Field(default=None, description="Such as /predict; else the best fit.")
    # Not the enumerations themselves: schemas with references are not taken everywhere.
    tier: Literal["auto", "heavy", "fast", "default"] = Field(
        default="auto", description="heavy: Spaces; fast and default: local models."
    )
    fallback: Literal["chain", "spaces", "none"] = Field(
        default="chain", description="Who may answer where the Space fails: other Spaces, then models."
    )
    timeout: float = Field(default=300, gt=0, le=86_400, description="Seconds for one execution.")


class FindSpace(ToolArguments):
    """Find Spaces for a task: among those of the registry, and on the Hugging Face Hub if asked."""

    query: str = Field(min_length=1, max_length=2000, description="The task in a few words.")
    category: str | None = Field(default=None, max_length=100)
    hub: bool = Field(default=False, description="Also search the Hub (the query leaves this machine).")
    limit: int = Field(default=5, ge=1, le=20)


class DescribeSpace(ToolArguments):
    """Describe a Space: what it is for, what it takes and gives, and its endpoints with their inputs."""

    space: str = Field(min_length=1, max_length=300, description="A name in the registry, or a Hub id.")


class GetJobStatus(ToolArguments):
    """Ask how a job stands, and get its answer once it has ended; without an id list the newest jobs."""

    job_id: str | None = Field(default=None, max_length=200)
    wait: bool = Field(default=True, description="Wait a while for the job's end.")


class GetFile(ToolArguments):
    """Get a file of an answer by its resource URI (spacedock://files/SHA256)."""

    uri: str = Field(max_length=200)


KINDS: dict[str, type[ToolArguments]] = {
    "run_space": RunSpace,
    "find_space": FindSpace,
    "describe_space": DescribeSpace,
    "job_status": GetJobStatus,
    "get_file": GetFile,
}


def fixed_tools() -> list[Tool]:
    """The tools that are always there."""
    return [
        Tool(
            name=name,
            description=kind.__doc__,
            input_schema=kind.model_json_schema(),
            annotations=ToolAnnotations(read_only_hint=kind is not RunSpace, destructive_hint=False),
        )
        for name, kind in KINDS.items()
    ]
