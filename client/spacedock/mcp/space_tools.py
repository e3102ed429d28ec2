"""A tool for each Space that the registry marks `mcp: true`, with its endpoint's own inputs (pure)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mcp_types import Tool, ToolAnnotations

from spacedock.errors import BadRequestError
from spacedock.mcp.arguments import RunSpace
from spacedock.mcp.content import clean, plain_of

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
