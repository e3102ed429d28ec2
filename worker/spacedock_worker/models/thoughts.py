"""What a thinking model says to itself, told apart from its answer, in the forms that models use (pure).

Each form is read in time that grows with the text's length alone: a model server is a stranger.
"""

from __future__ import annotations

import re
from bisect import bisect_left

# Opening and closing marks: Qwen, DeepSeek and SmolLM, with their imitators; Seed-OSS; Magistral; Kimi;
# Command A; Sky-T1; Gemma.
_NAMES = r"think(?:ing)?|thoughts?|reason(?:ing)?|seed:think"
_OTHERS = {
    "[THINK]": "[/THINK]",
    "◁think▷": "◁/think▷",
    "<|START_THINKING|>": "<|END_THINKING|>",
    "<|begin_of_thought|>": "<|end_of_thought|>",
    "<|channel>thought": "<channel|>",
}
_CLOSES = {closing.lower(): opening.lower() for opening, closing in _OTHERS.items()}
_MARKS = "|".join(re.escape(mark) for pair in _OTHERS.items() for mark in pair)
# A mark in backticks or quotes is a word of the answer.
_MARK = re.compile(rf"(?<![`'\"])(?:</?(?:{_NAMES})>|{_MARKS})(?![`'\"])", re.IGNORECASE)
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)
# What some models put around the answer itself, after a thought.
_AROUND = {
    "<answer>": "</answer>",
    "<|START_RESPONSE|>": "<|END_RESPONSE|>",
    "<|begin_of_solution|>": "<|end_of_solution|>",
}
# Harmony, as gpt-oss speaks it: messages on channels, of which the last one on `final` is the answer.
_HARMONY = re.compile(
    r"<\|channel\|>\s{0,5}(?P<channel>\w{1,40})[^<]{0,200}(?:<\|constrain\|>[^<]{0,200})?<\|message\|>"
    r"(?P<said>.*?)(?=<\|(?:end|return|call|start|channel)\|>|\Z)",
    re.DOTALL,
)
# The same where the server has left out the marks.
_BARE_HARMONY = re.compile(r"\Aanalysis(?P<thought>.*?)assistant ?final(?P<answer>.*)", re.DOTALL)


def told_apart(text: str) -> tuple[str, str]:
    """The answer, and the thoughts around it; a thought that was cut off goes with the thoughts."""
    text = text.strip()
    if (harmony := list(_HARMONY.finditer(text))) and not _Code(text).holds(harmony[0].start()):
        return _of_channels(text[: harmony[0].start()], harmony)
    if bare := _BARE_HARMONY.match(text):
        return bare["answer"].strip(), bare["thought"].strip()
    answer, thoughts = _of_marks(text)
    return (_unwrapped(answer) if thoughts else answer), thoughts


def _of_channels(before: str, found: list[re.Match[str]]) -> tuple[str, str]:
    """By channels; what stands before the first one is the answer where no channel holds one."""
    finals = [one["said"].strip() for one in found if one["channel"].lower() == "final"]
    thoughts = [one["said"].strip() for one in found if one["channel"].lower() != "final"]
    before = before.removesuffix("<|start|>assistant").removesuffix("<|end|>").strip()
    if not finals:
        return before, "\n\n".join(filter(None, thoughts))
    return finals[-1], "\n\n".join(filter(None, [before, *thoughts]))


def _of_marks(text: str) -> tuple[str, str]:
    """By marks, each with the next closing one of its kind."""
    marks, code = list(_MARK.finditer(text)), _Code(text)
    closings: dict[str, list[re.Match[str]]] = {}
    for mark in marks:
        if kind := _closes(mark[0]):
            closings.setdefault(kind, []).append(mark)
    answer: list[str] = []
    thoughts: list[str] = []
    place = 0
    for mark in marks:
        if mark.start() < place or code.holds(mark.start()):
            continue
        if _closes(mark[0]):
            if not thoughts:
                # Some chat templates open the thought in the prompt, so that the model only closes it.
                thoughts, answer, place = [text[: mark.start()]], [], mark.end()
            continue
        later = closings.get(mark[0].lower(), [])
        ahead = bisect_left(later, mark.end(), key=re.Match.start)
        if ahead == len(later) and not _begins_line(text, mark.start()):
            continue
        end, after = later[ahead].span() if ahead < len(later) else (len(text), len(text))
        answer.append(text[place : mark.start()])
        thoughts.append(text[mark.end() : end])
        place = after
    answer.append(text[place:])
    return "".join(answer).strip(), "\n\n".join(filter(None, (thought.strip() for thought in thoughts)))


def _closes(mark: str) -> str | None:
    """The opening mark that this one closes; None for one that opens."""
    mark = mark.lower()
    return f"<{mark[2:]}" if mark.startswith("</") else _CLOSES.get(mark)


def _begins_line(text: str, place: int) -> bool:
    """Whether nothing stands before the place on its line: only such a thought may have no end."""
    return text[max(0, place - 80) : place].rstrip(" \t")[-1:] in ("", "\n")


def _unwrapped(answer: str) -> str:
    for opening, closing in _AROUND.items():
        if answer.startswith(opening):
            return answer.removeprefix(opening).removesuffix(closing).strip()
    return answer


class _Code:
    """The blocks of code of a text."""

    def __init__(self, text: str) -> None:
        self._fences = [fence.start() for fence in _FENCE.finditer(text)]

    def holds(self, place: int) -> bool:
        """Whether the place is inside a block."""
        return bisect_left(self._fences, place) % 2 == 1
