"""The choice of an endpoint put into words and rows, for whoever wants to know why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from spacedock.replies.spaces import EndpointInput, EndpointRow
from spacedock_worker.adapters.base import AppAnswer, AppCall
from spacedock_worker.adapters.binding import kinds
from spacedock_worker.adapters.binding.choose import Choice, Rating, Score, choose, rate
from spacedock_worker.adapters.binding.files import Upload
from spacedock_worker.adapters.endpoint import Endpoint, InputSlot
from spacedock_worker.errors import StepError

# For each question of the score, what to say to its answers: no, yes (or somewhat), fully.
_WORDS = {
    "complete": ("leaves a box empty", ""),
    "no_chore": ("a chore of the page", "no chore of the page"),
    "pressed": ("called by the way", "called on purpose"),
    "prompt_placed": ("leaves the prompt out", "takes the prompt"),
    "prompt_named": ("", "the prompt's slot has a likely name", "the prompt's slot has a telling name"),
    "own_event": ("follows another", "follows no other"),
    "stateless": ("keeps state", "keeps no state"),
    "telling_name": ("", "its name tells of work"),
    "primary": ("", "the page's main button"),
    "named": ("it has no name", ""),
}


def explained(endpoints: Sequence[Endpoint], call: AppCall) -> AppAnswer:
    """Every endpoint with its score and reasons for that call; the one taken comes first.

    `data` has a row for each: `endpoint`, `parameters`, `inputs` (what `InputSlot` knows of them), `outputs`
    (their components), `visible`, `example`, `trigger`, `chosen`, `score` (None where it is out) and
    `reasons`. Where none can be chosen, `text` says why; nothing is raised for that.
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


def _row(rating: Rating, chosen: str | None) -> EndpointRow:
    score = rating.choice.score if rating.choice else None
    return {
        "endpoint": rating.endpoint.name,
        "parameters": [str(slot) for slot in rating.endpoint.slots],
        "inputs": [_input(slot) for slot in rating.endpoint.slots],
        "outputs": [output for output in rating.endpoint.outputs if output is not None],
        "visible": rating.endpoint.visible,
        "example": dict(rating.endpoint.example) if rating.endpoint.example else None,
        "trigger": rating.endpoint.trigger or None,
        "chosen": rating.endpoint.name == chosen,
        "score": score._asdict() if score else None,
        "reasons": _reasons(score) if score else [f"out: {rating.out}"],
    }


def _input(slot: InputSlot) -> EndpointInput:
    """The input for who fills it by name; `choices` are the values alone."""
    return {
        "name": slot.name,
        "position": slot.position,
        "label": slot.label,
        "component": slot.component,
        "required": slot.required,
        "default": None if kinds.takes_files(slot) else slot.default,
        "choices": [value for _, value in slot.choices],
        "several": slot.many,
        "file": kinds.takes_files(slot),
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


def _line(row: EndpointRow) -> str:
    mark = "*" if row["chosen"] else " "
    called = f' by "{row["trigger"]}"' if row["trigger"] else ""
    score = f"score {'.'.join(str(int(v)) for v in row['score'].values())}: " if row["score"] else ""
    reasons = "; ".join(row["reasons"])
    return f"{mark} {row['endpoint']}({', '.join(row['parameters'])}){called}\n      {score}{reasons}"


_SHOWN = 60


def mapping_of(endpoints: Sequence[Endpoint], call: AppCall) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The endpoint that the call would go to, and for each of its inputs where its value comes from.

    The prompt itself is not told. Raises StepError of kind `bad_input`, as the call would.
    """
    choice = choose(endpoints, call)
    rows = tuple((slot.name, _source(slot, choice, call)) for slot in choice.endpoint.slots)
    return choice.endpoint.name, rows


def _source(slot: InputSlot, choice: Choice, call: AppCall) -> str:
    value = choice.filling.data[slot.position] if slot.position < len(choice.filling.data) else None
    parts = [f"file {call.files[upload.index].ref.name}" for upload in _uploads(value)]
    if slot is choice.filling.prompt:
        parts.insert(0, "the prompt")
    if parts:
        return ", ".join(parts)
    if slot.name in call.inputs:
        return f"given: {_short(call.inputs[slot.name])}"
    return f"default: {_short(value)}"


def _uploads(value: Any) -> Iterator[Upload]:
    if isinstance(value, Upload):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _uploads(item)


def _short(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
