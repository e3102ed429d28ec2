"""A pipeline as a tree: each step below the last one that it takes from; with a run, where each stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from spacedock.cli.output.text import printable
from spacedock.pipelines.expressions import lookups
from spacedock.pipelines.model import Pipeline, PipelineInput, Step
from spacedock.pipelines.references import needs

if TYPE_CHECKING:
    from rich.tree import Tree


def drawn(pipeline: Pipeline, marks: Mapping[str, tuple[str, str]] | None = None) -> Tree:
    """The tree; with `marks` each step has its own and a note, and pipelines in it are not opened."""
    from rich.text import Text
    from rich.tree import Tree

    root = Tree(Text("\n".join(_head(pipeline))))
    branches: dict[str, Tree] = {}
    for name, step in pipeline.steps.items():
        before = sorted(needs(step), key=[*pipeline.steps].index)
        parent = branches[before[-1]] if before else root
        words = _words(name, step, before[:-1])
        if marks:
            words = f"{marks[name][0]} {name}  {step.target}{marks[name][1]}"
        branches[name] = parent.add(Text(printable(words)))
        if step.pipeline is not None and not marks:
            branches[name].children.append(drawn(step.pipeline))
    return root


def _head(pipeline: Pipeline) -> Iterator[str]:
    about = f": {pipeline.description}" if pipeline.description else ""
    yield printable(f"{pipeline.name}{about}")
    if pipeline.inputs:
        yield f"  takes {', '.join(_input(name, one) for name, one in pipeline.inputs.items())}"
    if pipeline.outputs:
        yield f"  gives {', '.join(pipeline.outputs)}"


def _input(name: str, one: PipelineInput) -> str:
    return f"{name} ({one.type}{'' if one.is_required else ', optional'})"


def _words(name: str, step: Step, others: list[str]) -> str:
    parts = [f"{name}  {step.target}"]
    if isinstance(step.for_each, str):
        parts.append(f"for each of {next(lookups(step.for_each)).said}")
    elif step.for_each is not None:
        parts.append(f"{len(step.for_each)} times")
    if step.when is not None:
        parts.append(f"when {step.when.strip()}")
    if others:
        parts.append(f"takes from {', '.join(others)} too")
    parts += [word for word in ("cache", "privacy") if getattr(step, word)]
    return ", ".join(parts)
