"""The choice of an endpoint put into words and rows, for whoever wants to know why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spacedock_worker.adapters.base import AppAnswer, AppCall
from spacedock_worker.adapters.choice import Choice, Rating, Score, choose, rate
from spacedock_worker.adapters.endpoint import Endpoint
from spacedock_worker.errors import StepError

# For each question of the score, what to say to its answers: no, yes (or somewhat), fully.
_WORDS = {
    "no_chore": ("a chore of the page", "no chore of the page"),
    "pressed": ("called by the way", "called on purpose"),
    "prompt_placed": ("leaves the prompt out", "takes the prompt"),
    "prompt_named": ("", "the prompt's slot has a likely name", "the prompt's slot has a telling name"),
    "own_event": ("follows another", "follows no other"),
    "stateless": ("keeps state", "keeps no state"),
    "telling_name": ("", "its name tells of work"),
    "primary": ("", "the page's main button"),
}


def explained(endpoints: Sequence[Endpoint], call: AppCall) -> AppAnswer:
    """Every endpoint with its score and reasons for that call; the one taken comes first.

    `data` has a row for each: `endpoint`, `parameters`, `example`, `trigger`, `chosen`, `score` (None where
    it is out) and `reasons`. Where none can be chosen, `text` says why; nothing is raised for that.
    """
    try:
        taken: Choice | None = choose(endpoints, call)
        verdict = ""
    except StepError as error:
        taken, verdict = None, str(error)
    chosen = taken.endpoint.name if taken else None
    ratings = sorted(rate(endpoints, call), key=lambda rating: _rank(rating, chosen), reverse=True)
    rows = [_row(rating, chosen) for rating in ratings]
    lines = [_line(row) for row in rows]
    return AppAnswer(chosen, "\n".join([*lines, verdict] if verdict else lines), rows)


def _rank(rating: Rating, chosen: str | None) -> tuple[bool, bool, tuple[float, ...]]:
    score = rating.choice.score if rating.choice else None
    return rating.endpoint.name == chosen, score is not None, tuple(map(float, score or ()))


def _row(rating: Rating, chosen: str | None) -> dict[str, Any]:
    score = rating.choice.score if rating.choice else None
    return {
        "endpoint": rating.endpoint.name,
        "parameters": [str(slot) for slot in rating.endpoint.slots],
        "example": dict(rating.endpoint.example) if rating.endpoint.example else None,
        "trigger": rating.endpoint.trigger or None,
        "chosen": rating.endpoint.name == chosen,
        "score": score._asdict() if score else None,
        "reasons": _reasons(score) if score else [f"out: {rating.out}"],
    }


def _reasons(score: Score) -> list[str]:
    """The answers to the score's questions in words, in their order."""
    said = []
    for question, answer in score._asdict().items():
        if question == "files_exact":
            said.append(
                "made for these files" if answer > 0 else "wants a file besides" if answer < 0 else ""
            )
        else:
            said.append(_WORDS[question][int(answer)])
    return [words for words in said if words]


def _line(row: dict[str, Any]) -> str:
    mark = "*" if row["chosen"] else " "
    called = f' by "{row["trigger"]}"' if row["trigger"] else ""
    score = f"score {'.'.join(str(int(v)) for v in row['score'].values())}: " if row["score"] else ""
    reasons = "; ".join(row["reasons"])
    return f"{mark} {row['endpoint']}({', '.join(row['parameters'])}){called}\n      {score}{reasons}"
