"""The labelled task texts, routed with the default registry: how often the tier and the Space are right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from spacedock.files import FileRef
from spacedock.request import JobRequest, Tier
from spacedock_worker.jobs.plan import kinds_of
from spacedock_worker.jobs.routing import route
from spacedock_worker.recommend.recommend import Recommender
from spacedock_worker.recommend.tasks import analyse
from spacedock_worker.registry.host_file import default_text
from spacedock_worker.registry.registry import Registry

LABELLED = Path(__file__).with_name("tasks.yaml")
RIGHT_TIER, RIGHT_SPACE = 0.90, 0.95
FIRST = 3


@pytest.fixture(scope="module")
def recommender(tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    return Recommender(Registry(tmp_path_factory.mktemp("routing") / "registry.yaml", default_text()))


@pytest.fixture(scope="module")
def tasks() -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = yaml.safe_load(LABELLED.read_text(encoding="utf-8"))["tasks"]
    return loaded


def request_of(task: dict[str, Any]) -> JobRequest:
    files = tuple(
        FileRef(name=f"file{number}", sha256="0" * 64, size=1, media_type=media_type)
        for number, media_type in enumerate(task.get("files") or ())
    )
    flags = {name: task[name] for name in ("batch", "privacy", "performance_first") if name in task}
    return JobRequest(prompt=task["text"], files=files, **flags)


def test_there_are_enough_labelled_tasks(tasks: list[dict[str, Any]]) -> None:
    assert len(tasks) >= 60


def test_nine_of_ten_tasks_go_to_the_right_tier(
    tasks: list[dict[str, Any]], recommender: Recommender
) -> None:
    misses = list(_wrong_tiers(tasks, recommender))
    right = 1 - len(misses) / len(tasks)
    assert right >= RIGHT_TIER, f"{right:.1%}\n" + "\n".join(misses)
    print(f"right tier: {right:.1%} of {len(tasks)}", *misses, sep="\n  ")  # noqa: T201 - shown by -s


def test_the_right_space_is_among_the_first_three(
    tasks: list[dict[str, Any]], recommender: Recommender
) -> None:
    asking = [task for task in tasks if task.get("space")]
    misses = list(_wrong_spaces(asking, recommender))
    right = 1 - len(misses) / len(asking)
    assert right >= RIGHT_SPACE, f"{right:.1%}\n" + "\n".join(misses)
    print(f"right Space: {right:.1%} of {len(asking)}", *misses, sep="\n  ")  # noqa: T201 - shown by -s


def _wrong_tiers(tasks: list[dict[str, Any]], recommender: Recommender) -> Iterator[str]:
    for task in tasks:
        request = request_of(task)
        understood = analyse(request.prompt, kinds_of(request))
        way = route(request, understood, recommender.ranked(understood))
        if way.tier is not Tier(task["tier"]):
            why = "; ".join(way.reasons)
            yield f"{task['text'][:80]!r} {task.get('files') or ''}: {way.tier.value}, {why}"


def _wrong_spaces(tasks: list[dict[str, Any]], recommender: Recommender) -> Iterator[str]:
    for task in tasks:
        request = request_of(task)
        found = recommender.recommend(analyse(request.prompt, kinds_of(request)), FIRST)
        names = [one.entry.id for one in found]
        if not {task["space"], *(task.get("also") or ())} & set(names):
            yield f"{task['text'][:80]!r} {task.get('files') or ''}: {task['space']} is not among {names}"
