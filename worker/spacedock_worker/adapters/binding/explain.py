"""What an app can do and why an endpoint is chosen, in words, rows and JSON Schemas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from spacedock.replies.spaces import EndpointInput, EndpointRow, EndpointSchema
from spacedock_worker.adapters.base import AppAnswer, AppCall
from spacedock_worker.adapters.binding import kinds
from spacedock_worker.adapters.binding.choose import Choice, Rating, Score, choose, foremost, rate
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


_MOST_ENDPOINTS, _MOST_SLOTS, _MOST_CHOICES, _LONGEST = 50, 50, 100, 300


def described(
    endpoints: Sequence[Endpoint], named: str | None, inputs: Mapping[str, Any]
) -> list[EndpointSchema]:
    """A row for each endpoint: `name`, `schema` of its inputs, and `outputs`, the components that it fills.

    The first is the one that the Space's entry names, or that does the app's main work. Inputs that the
    entry gives have that value as their default.
    """
    first = next((one for one in endpoints if one.name == named), None) or foremost(endpoints)
    ordered = [first, *(one for one in endpoints if one is not first)] if first else list(endpoints)
    return [
        {
            "name": endpoint.name,
            "schema": input_schema(endpoint, inputs),
            "outputs": [output for output in endpoint.outputs[:_MOST_SLOTS] if output],
        }
        for endpoint in ordered[:_MOST_ENDPOINTS]
    ]


def input_schema(endpoint: Endpoint, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of the endpoint's inputs; one that takes a file has a `contentMediaType`."""
    named = {slot.name: slot for slot in reversed(endpoint.slots)}
    # Of two inputs of one name the later goes by its place.
    slots = {s.name if named[s.name] is s else f"input_{s.position}": s for s in endpoint.slots[:_MOST_SLOTS]}
    return {
        "type": "object",
        "properties": {name: _property(slot, inputs.get(name)) for name, slot in slots.items()},
        "required": [name for name, slot in slots.items() if slot.required and name not in inputs],
        "additionalProperties": False,
    }


def _property(slot: InputSlot, given: Any) -> dict[str, Any]:
    told = {"title": slot.label[:_LONGEST]} if slot.label and slot.label != slot.name else {}
    default = slot.default if given is None else given
    if _is_plain(default) and (given is not None or not slot.required):
        told["default"] = default
    return {**_kind(slot), **told}


def _kind(slot: InputSlot) -> dict[str, Any]:
    if slot.component in kinds.TEXT:
        return {"type": "string"}
    if slot.component in kinds.TABLE:
        return {"description": "a table: rows or records as JSON, or CSV text"}
    if slot.component in kinds.MEDIA:
        return {"type": "string", "format": "uri", "contentMediaType": f"{kinds.MEDIA[slot.component]}*"}
    if slot.component in kinds.NUMBER:
        bounds = {"minimum": slot.least, "maximum": slot.most}
        return {"type": "number", **{key: bound for key, bound in bounds.items() if bound is not None}}
    if slot.component in kinds.YES_NO:
        return {"type": "boolean"}
    return _choice(slot) if slot.component in kinds.CHOICE else {}


def _choice(slot: InputSlot) -> dict[str, Any]:
    values = [value for _, value in slot.choices]
    # A list that is cut would forbid what was cut off.
    closed = values and not slot.custom and len(values) <= _MOST_CHOICES and all(map(_is_plain, values))
    one: dict[str, Any] = {"enum": values} if closed else {}
    many = slot.many or slot.component == "checkboxgroup"
    return {"type": "array", "items": one} if many else one


def _is_plain(value: Any) -> bool:
    """Whether the value is short, and holds no other."""
    return isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= _LONGEST)
