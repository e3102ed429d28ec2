"""A plan as people read it."""

from __future__ import annotations

from typing import Any

from spacedock._wire.wire import checked
from spacedock.cli.output.plan import lines
from spacedock.replies.host import PlanReply, PlanRoute

LIMITS = {
    "memory": 2 * 2**30,
    "cpus": 2.0,
    "timeout": 300.0,
    "start_timeout": 1800.0,
    "network": "bridge",
    "gpu": "none",
}
SPACE: dict[str, Any] = {
    "tier": "heavy",
    "name": "clip-analysis",
    "kind": "space",
    "taken": True,
    "reason": "the Space that was asked for",
    "degraded": False,
    "image": {"state": "here", "reference": "registry.hf.space/openai-clip:latest", "bytes": 1_230_000_000},
    "container": "none",
    "quarantined_for": None,
    "limits": LIMITS,
    "endpoint": "/predict",
    "mapping": [{"input": "image", "from": "file sign.png"}, {"input": "question", "from": "the prompt"}],
    "misfit": None,
    "expected": {"start": 3.14, "call": 0.42},
}
MODEL = {
    "tier": "default",
    "name": "smollm",
    "kind": "model",
    "taken": True,
    "reason": "the system default",
    "degraded": True,
    "model": "SmolLM3",
    "local": True,
    "limits": {"timeout": 300.0, "start_timeout": 60.0},
}
SKIPPED = {"tier": "fast", "name": "tier 1", "taken": False, "reason": "no Tier 1 model is configured"}


def test_a_plan_tells_its_route_and_every_step_in_order() -> None:
    route: PlanRoute = {"tier": "heavy", "reasons": ["it has an image"]}
    assert lines({**plan(SPACE, SKIPPED, MODEL), "route": route}) == [
        "route: heavy",
        "   because it has an image",
        "1. clip-analysis (Space, heavy): the Space that was asked for",
        "     image       here, registry.hf.space/openai-clip:latest, 1.2 GB",
        "     container   none yet: it would be started",
        "     limits      2 GiB of memory, 2 CPUs, 300 s for a call, 1800 s to start, a network of its own, "
        "no GPU",
        "     endpoint    /predict",
        "     input       image <- file sign.png",
        "     input       question <- the prompt",
        "     expected    start 3.1 s, call 0.4 s, as measured here",
        "-  tier 1 (fast) is skipped: no Tier 1 model is configured",
        "2. if that fails: smollm (model, default): the system default",
        "     degraded    a model's words would not be the kind of answer that is asked for",
        "     model       SmolLM3",
        "     limits      300 s for a call, 60 s to start",
    ]


def plan(*steps: dict[str, Any]) -> PlanReply:
    return checked(PlanReply, {"route": None, "steps": list(steps), "warnings": [], "misfits": []}, "plan")


def step_lines(**changed: Any) -> dict[str, str]:
    said = lines(plan(SPACE | changed))[1:]
    return {line.split()[0]: line.split(maxsplit=1)[1] for line in said}


def test_what_is_not_known_is_said_to_be_unknown() -> None:
    said = step_lines(endpoint=None, mapping=None, expected={"start": None, "call": None})
    assert said["endpoint"] == "found out when it runs: it has not run here yet"
    assert said["expected"] == "unknown: nothing was measured here yet"
    assert "input" not in said


def test_a_call_that_the_app_cannot_take_is_told_in_place_of_its_endpoint() -> None:
    said = step_lines(endpoint=None, mapping=None, misfit="no endpoint takes audio")
    assert said["trouble"] == "no endpoint takes audio"
    assert "endpoint" not in said


def test_a_sealed_space_on_a_gpu_in_quarantine_says_so() -> None:
    said = step_lines(
        quarantined_for=65.0, limits=LIMITS | {"memory": 2**29, "network": "sealed", "gpu": ["0", "1"]}
    )
    assert said["container"] == "quarantined after it failed to start, 1 min 5 s to go"
    assert said["limits"].startswith("0.5 GiB of memory, ")
    assert said["limits"].endswith(", no network, GPUs: 0, 1")


def test_an_image_that_is_not_here_says_how_it_would_be_got() -> None:
    assert step_lines(image={"state": "to build", "reference": None, "bytes": None})["image"] == "to build"


def test_a_plan_without_a_step_says_that_the_job_would_fail() -> None:
    assert lines(plan(SKIPPED))[-1] == "no step can be taken: the job would fail"


def test_what_an_app_wrote_stays_on_one_line_of_bounded_length() -> None:
    said = lines(plan(SPACE | {"endpoint": "/a\n1. rm -rf", "mapping": None, "reason": "x" * 1000}))
    assert "     endpoint    /a 1. rm -rf" in said
    assert max(map(len, said)) < 400
