"""Which slot the prompt goes into."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from spacedock_worker.adapters.binding import kinds
from spacedock_worker.adapters.binding.words import unnumbered, words_in
from spacedock_worker.adapters.endpoint import InputSlot
from spacedock_worker.adapters.faults import CannotFillError

# Names that apps give to the slot which a person types into, the surest first.
NAMES = (
    "prompt", "message", "query", "question", "text", "input", "instruction", "sentence", "document",
    "content", "description", "caption", "topic",
)  # fmt: skip
NOT_THE_PROMPT = frozenset({"negative", "system", "history", "token", "key", "optional"})
MAY_STAY_EMPTY = frozenset({"negative", "optional"})
# fmt: off
IN_A_PAIR = frozenset({
    "one", "two", "three", "first", "second", "third", "left", "right", "a", "b", "c", "x", "y", "source",
    "target", "before", "after", "old", "new", "original", "reference", "candidate", "premise", "hypothesis",
    "context", "passage", "article", "document", "paragraph", "answer", "start", "end", "from", "to",
})
# fmt: on
_SAME = frozenset(NAMES)
# Ranks: a name that is the word itself, one that holds it, one that says nothing, one that says no.
HOLDS, SAYS_NOTHING, SAYS_NO = 100, 200, 300


def prompt_slot(slots: Sequence[InputSlot]) -> InputSlot | None:
    """The slot for the prompt among those still free; None where none takes text.

    A slot without a default comes before one that has its own text, a telling name before any other. Where no
    slot takes text, the only one that must be filled and takes a number, a choice or JSON is it.
    Raises CannotFillError where two would do equally well.
    """
    texts = [(_order(slot), slot) for slot in slots if kinds.takes_text(slot)]
    if not texts:
        return _only_required(slots)
    first = min(order for order, _ in texts)
    best = [slot for order, slot in texts if order == first]
    pairs = any(says_alike(one, other) for one in best for other in best if one is not other)
    if len(best) > 1 and (pairs or not all(slot.blank for slot in best)):
        names = " or ".join(slot.name for slot in best)
        raise CannotFillError(f"the prompt could go to {names}: give them by name, as inputs")
    # Of boxes with different names that say nothing, a page has the one first that matters.
    return min(best, key=lambda slot: slot.position)


def name_rank(slot: InputSlot) -> int:
    """How surely the slot's name says that it is the prompt's; less is surer."""
    return _rank(slot.name, slot.label)


@lru_cache(maxsize=2**14)
def _rank(called: str, labelled: str) -> int:
    name, label = words_in(called), words_in(labelled)
    if (set(name) | set(label)) & NOT_THE_PROMPT:
        return SAYS_NO
    whole = [rank for rank, word in enumerate(NAMES) if [word] in (name, label)]
    part = [HOLDS + rank for rank, word in enumerate(NAMES) if word in name or word in label]
    return min([*whole, *part], default=SAYS_NOTHING)


def may_stay_empty(slot: InputSlot) -> bool:
    """Whether a text slot is sent empty, as a browser does, where nothing was given for it."""
    words = set(words_in(slot.name)) | set(words_in(slot.label))
    return slot.component in kinds.TEXT and bool(words & MAY_STAY_EMPTY)


def says_alike(one: InputSlot, other: InputSlot) -> bool:
    """Whether two boxes are a pair, of which both are needed: "Text 1" and "Text 2", "old" and "new"."""
    called, also = one.label or one.name, other.label or other.name
    first, second = set(words_in(called)), set(words_in(also))
    if not first or not second:
        # In a script whose words are not known, only names that are the same tell of a pair.
        return unnumbered(called) == unnumbered(also)
    return first == second or bool(first & second & _SAME) or bool(first & IN_A_PAIR or second & IN_A_PAIR)


def _order(slot: InputSlot) -> tuple[bool, bool, int]:
    # Gradio 6 gives every multimodal textbox an empty default: it is as free as one without. An editor of
    # code mostly opens with an example, and boxes beside it, such as its standard input, are minor.
    free = slot.required or slot.component in (kinds.MULTIMODAL, kinds.CODE)
    rank = name_rank(slot)
    if slot.component == kinds.CODE and rank == SAYS_NOTHING:
        rank -= 1
    return not free and slot.default not in ("", None), slot.component == kinds.TYPED, rank


def _only_required(slots: Sequence[InputSlot]) -> InputSlot | None:
    scalar = kinds.NUMBER | kinds.CHOICE | kinds.JSON | kinds.TABLE
    tables = [slot for slot in slots if slot.component in kinds.TABLE]
    required = [s for s in slots if s in tables or (s.required and not kinds.takes_files(s))]
    return required[0] if len(required) == 1 and required[0].component in scalar else None
