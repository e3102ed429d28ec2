"""The tools: those that are always there, and one for each Space that is marked `mcp: true` (pure)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mcp_types import Tool, ToolAnnotations
from pydantic import BaseModel, ConfigDict, Field

from spacedock.errors import BadRequestError
from spacedock.mcp.content import clean, plain_of

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


MOST_SPACES = 50

_STRANGE_NAME, _STRANGE_INPUT = re.compile(r"[^A-Za-z0-9_-]"), re.compile(r"[^A-Za-z0-9_.-]")
_LONGEST_NAME, _LONGEST_INPUT, _LONGEST_TEXT = 40, 64, 500
_ANY = {"prompt": "prompt", "files": "files"}


@dataclass(frozen=True, slots=True)
class SpaceTool:
    """A Space as a tool: `inputs` are the app's names by those that models use, `files` those of files."""

    space: str
    tool: Tool
    endpoint: str | None
    inputs: Mapping[str, str]
    files: frozenset[str]

    def arguments(self, given: Mapping[str, Any]) -> RunSpace:
        """The call that is meant by these arguments. Raises BadRequestError; types are the app's to judge."""
        if unknown := given.keys() - self.inputs.keys():
            has = ", ".join(self.inputs) or "none"
            raise BadRequestError(f"{self.tool.name} has no input {min(unknown)[:100]}; its inputs: {has}")
        if missing := [name for name in self.tool.input_schema["required"] if name not in given]:
            raise BadRequestError(f"{self.tool.name} needs {', '.join(missing)}")
        if self.inputs is _ANY:
            return RunSpace(space=self.space, fallback="none", **given)
        return RunSpace(
            space=self.space,
            endpoint=self.endpoint,
            inputs={self.inputs[name]: value for name, value in given.items()},
            files=[given[name] for name in self.files & given.keys() if given[name] is not None],
            fallback="none",
        )


def tool_name(space: str) -> str:
    """The name of the Space's tool, of letters that every model's API takes."""
    safe = _STRANGE_NAME.sub("_", space)[:_LONGEST_NAME]
    mark = "" if safe == space else f"_{hashlib.sha256(space.encode()).hexdigest()[:6]}"
    return f"space_{safe}{mark}"


def space_tool(space: str, entry: Mapping[str, Any], endpoints: Sequence[Mapping[str, Any]]) -> SpaceTool:
    """The Space's tool by its registry entry; before its first run its endpoints are not known."""
    does = f"{entry['input_type']} to {entry['output_type']}"
    text = (
        f"{clean(entry['description'], _LONGEST_TEXT) or 'A Space'} (the Hugging Face Space {space}: {does})"
    )
    if not endpoints:
        own = RunSpace.model_json_schema()["properties"]
        schema = {"type": "object", "properties": {name: own[name] for name in _ANY}, "required": []}
        return SpaceTool(space, _tool(space, text, schema), None, _ANY, frozenset())
    name, told = endpoints[0]["name"], endpoints[0]["schema"]
    inputs = {safe: own for own, safe in _safe_names(told["properties"]).items()}
    properties = {safe: plain_of(told["properties"][own]) for safe, own in inputs.items()}
    required = [safe for safe, own in inputs.items() if own in told["required"]]
    files = frozenset(name for name, one in properties.items() if "contentMediaType" in one)
    for one in files:
        properties[one]["description"] = RunSpace.model_fields["files"].description
    schema = {**told, "properties": properties, "required": required}
    return SpaceTool(space, _tool(space, text, schema), name, inputs, files)


def _tool(space: str, text: str, schema: dict[str, Any]) -> Tool:
    hints = ToolAnnotations(read_only_hint=False, destructive_hint=False)
    return Tool(name=tool_name(space), description=text, input_schema=schema, annotations=hints)


def _safe_names(names: Mapping[str, Any]) -> dict[str, str]:
    """A name that models may use for each of the app's own."""
    found: dict[str, str] = {}
    for place, name in enumerate(names):
        safe = _STRANGE_INPUT.sub("_", name)[:_LONGEST_INPUT]
        found[name] = f"{safe[:-4]}_{place}" if not safe or safe in found.values() else safe
    return found
