"""Which endpoint of an app answers a call: a pure function of the app's description and the call.

A page's functions are listed in the order of its buttons, so the first one is often a toggle. Every endpoint
that the call can fill is scored, by the questions of `Score` in their order; the best one is taken, and a tie
is reported instead of guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from spacedock_worker.adapters.base import AppCall
from spacedock_worker.adapters.gradio import kinds
from spacedock_worker.adapters.gradio.description import App, Endpoint
from spacedock_worker.adapters.gradio.faults import bad_input
from spacedock_worker.adapters.gradio.filling import Filling, fill
from spacedock_worker.adapters.gradio.prompting import HOLDS, SAYS_NOTHING, name_rank
from spacedock_worker.adapters.gradio.values import CannotFillError

SHOWN = 12
TWIN = re.compile(r"^(.*?)_\d+$")
# Words in the name of a function that serves the page, and in the name of one that does its work.
CHORES = re.compile(
    "lambda|toggle|clear|reset|update|change|load|undo|retry|stop|cancel|like|dislike|flag|hide|show|select"
    "|refresh|delete|save|visible|visibility|disable|enable|export|unnamed"
)
TELLING = re.compile(
    "predict|infer|inference|generate|run|process|submit|chat|answer|respond|reply|classify|transcribe"
    "|translate|summari[sz]e|caption|detect|analy[sz]e|recogni[sz]e|ocr|embed|convert|synthesi[sz]e|tts"
)


class Score(NamedTuple):
    """What speaks for an endpoint, the weightiest first; True and more are better."""

    no_chore: bool
    prompt_placed: bool
    prompt_named: int
    files_exact: int
    own_event: bool
    stateless: bool
    telling_name: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """The endpoint taken and its inputs; `score` says why, None where the caller named it."""

    endpoint: Endpoint
    filling: Filling
    score: Score | None = None


def choose(app: App, call: AppCall) -> Choice:
    """Take the endpoint that the call names, else the one that fits it best.

    Raises StepError of kind `bad_input`, with the candidates, where none fits or several do equally.
    """
    if call.endpoint is not None:
        return _named(app, call, call.endpoint)
    candidates = _candidates(app)
    fitting, reasons = [], []
    for endpoint in candidates:
        try:
            filling = fill(endpoint, call)
        except CannotFillError as error:
            reasons.append(f"{endpoint} - {error}")
        else:
            fitting.append(Choice(endpoint, filling, _score(endpoint, filling, call)))
    if not fitting:
        raise bad_input(_nothing_fits(reasons))
    return _best(fitting)


def _named(app: App, call: AppCall, name: str) -> Choice:
    endpoint = next((e for e in app.endpoints if e.name == name), None)
    if endpoint is None:
        raise bad_input(
            f"the app has no endpoint {name}. It has:\n{_lines([str(e) for e in _candidates(app)])}"
        )
    try:
        return Choice(endpoint, fill(endpoint, call))
    except CannotFillError as error:
        raise bad_input(f"{endpoint} does not fit: {error}.") from error


def _candidates(app: App) -> list[Endpoint]:
    useful = [e for e in app.endpoints if e.slots and any(e.outputs)]
    # What a page hides from its API is still what its buttons call: it must do where nothing else is there.
    shown = [e for e in useful if e.visible] or useful
    return [e for e in shown if not _is_twin(e, shown)]


def _is_twin(endpoint: Endpoint, others: list[Endpoint]) -> bool:
    # Gradio numbers a function that is bound twice, such as to a button and to the enter key.
    match = TWIN.match(endpoint.name)
    return match is not None and any(
        other.name == match[1] and other.slots == endpoint.slots and other.outputs == endpoint.outputs
        for other in others
    )


def _score(endpoint: Endpoint, filling: Filling, call: AppCall) -> Score:
    words = re.findall(r"[a-z]+", endpoint.name.lower())
    rank = name_rank(filling.prompt) if filling.prompt else SAYS_NOTHING
    return Score(
        no_chore=not any(map(CHORES.fullmatch, words)),
        prompt_placed=filling.prompt is not None,
        prompt_named=2 if rank < HOLDS else 1 if rank < SAYS_NOTHING else 0,
        files_exact=_exact(endpoint, call),
        own_event=not endpoint.chained,
        stateless=not endpoint.stateful,
        telling_name=any(map(TELLING.fullmatch, words)),
    )


def _exact(endpoint: Endpoint, call: AppCall) -> int:
    specific = [s for s in endpoint.slots if kinds.takes_files(s) and not kinds.is_general(s)]
    return min(len(specific), len(call.files)) if call.files else -len(specific)


def _best(fitting: list[Choice]) -> Choice:
    best = max(fitting, key=lambda choice: choice.score or ())
    ties = [choice.endpoint for choice in fitting if choice.score == best.score]
    if len(ties) > 1:
        raise bad_input(
            "several endpoints fit equally well: name one with --endpoint.\n" + _lines([str(e) for e in ties])
        )
    return best


def _nothing_fits(reasons: list[str]) -> str:
    if not reasons:
        return "the app has no endpoint that takes an input and gives an answer."
    return "no endpoint of the app fits this prompt and these files:\n" + _lines(reasons)


def _lines(items: list[str]) -> str:
    more = [f"and {len(items) - SHOWN} more"] if len(items) > SHOWN else []
    return "\n".join(f"  {item}" for item in [*items[:SHOWN], *more])
