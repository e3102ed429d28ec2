"""What a job's words and files ask for: the likely tasks, found by rules (pure, and fast)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from spacedock_worker.recommend.taxonomy import GENERAL, TaskKind, taxonomy

_CODE = re.compile(r"```.*?(```|\Z)", re.DOTALL)
_QUOTED = re.compile(r"[“”„«»\"][^“”„«»\"]+[“”„«»\"]|(?<!\w)'[^'\n]{2,}'(?!\w)")
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u201a", "'"))
_END = re.compile(r"(?<=[.!?…])\s+|\n+")
_COLON = re.compile(r":(?=\s|$)")

_SHORT_IS = re.compile(r"\b(what|who|where|when|how|that|there|it)'s\b")

_HEAD_WORDS = 14
_TAIL_WORDS = 20
_SENTENCE_WORDS = 40
_FIRST, _LAST = 3, 2
_MOST = 4000


@dataclass(frozen=True, slots=True)
class TextReading:
    """One way to read a text: its sentences in lower case, each from where its request starts."""

    sentences: tuple[str, ...]


def readings(text: str) -> tuple[TextReading, ...]:
    """How the text may be read: without what only comes along, and, should that ask for nothing, whole."""
    plain = text.translate(_APOSTROPHES)
    short = plain if len(plain) <= 2 * _MOST else f"{plain[:_MOST]}\n{plain[-_MOST:]}"
    found = (_reading(_own_words(short)), _reading(short))
    return tuple(dict.fromkeys(reading for reading in found if reading.sentences))


def mended(reading: TextReading) -> TextReading:
    """The reading without slips of the keyboard in words that tell tasks apart."""
    return TextReading(tuple(taxonomy().spelling.mended(sentence) for sentence in reading.sentences))


def words_asked(text: str) -> str:
    """The words in which something is asked, for a search."""
    found = readings(text)
    return " ".join(found[0].sentences) if found else ""


def _own_words(text: str) -> str:
    """The text without quotations and code, of many lines the outermost, of those what is before a colon."""
    bare = _QUOTED.sub(" ", _CODE.sub(" ", text))
    lines = [line for line in (line.strip() for line in bare.splitlines()) if line]
    if not lines:
        return ""
    head, tail = lines[0], lines[-1] if len(lines) > 1 else ""
    short_tail = tail if len(tail.split()) <= _TAIL_WORDS else ""
    if short_tail and len(head.split()) > _SENTENCE_WORDS:
        return short_tail
    return f"{_before_colon(head)}\n{short_tail}"


def _before_colon(line: str) -> str:
    """What a line announces, where something follows its colon."""
    head, colon, rest = line, "", ""
    if (found := _COLON.search(line)) is not None:
        head, colon, rest = line[: found.start()], ":", line[found.end() :]
    return head if colon and rest.strip() and len(head.split()) <= _HEAD_WORDS else line


def _reading(text: str) -> TextReading:
    """The first sentences and the last: what is asked stands before what it is about, or after it."""
    parts = [part for part in _END.split(text) if part and re.search(r"\w", part)]
    if len(parts) > _FIRST + _LAST:
        parts = [*parts[:_FIRST], *parts[-_LAST:]]
    return TextReading(tuple(_request(part) for part in parts))


def _request(sentence: str) -> str:
    spelled = _SHORT_IS.sub(r"\1 is", sentence.lower())
    words = " ".join(spelled.split()[:_SENTENCE_WORDS])
    asked = words[found.end() :] if (found := taxonomy().polite.match(words)) else words
    return asked.strip() or words


SURE = 0.6
"""The weight from which on a task was asked for in words."""

_SAID = 0.45
_KEPT = 0.2
_LATER_WORD, _LATER_SENTENCE = 0.06, 0.92
_GENERAL_ALONE = 0.3
_NAMED = 0.55
_OFTEN = 0.03
_UNSAID_BESIDE_SAID = 0.3
_FOREIGN_FILE, _WITH_FILE, _WITHOUT_FILE, _NO_FILE_IN_MIND = 0.15, 1.25, 0.8, 0.4

_QUESTION = re.compile(
    r"\?|\b(what|which|who|whom|whose|where|when|why|how|is|are|does|do|did|can|has|was|were|wie|was|wer|wo|welche"
    r"|wann|ist|sind|qui|que|quel|quelle|combien|où|est-ce|qué|quién|cuál|cuánto|dónde)\b"
)
# Blanks alone, not \s: a text of nothing but new lines would be read again from each of them.
_ITEMS = re.compile(r"^[ \t]*(?:\d{1,3}[.)]|[-*•])[ \t]", re.MULTILINE)
_STEPS = re.compile(
    r"\b(then|after that|afterwards|finally|next|and then|first|second|third|dann|danach|puis|ensuite)\b"
)
_NAMED_FILES = {
    "image": re.compile(r"\.(jpe?g|png|gif|webp|bmp|tiff?|heic)\b"),
    "audio": re.compile(r"\.(wav|mp3|m4a|flac|ogg|opus|aac)\b"),
    "video": re.compile(r"\.(mp4|mov|mkv|webm|avi)\b"),
    "file": re.compile(r"\.(pdf|docx?|pptx?|xlsx?|zip)\b"),
}


@dataclass(frozen=True)
class TaskReading:
    """What is asked for: `likely` tasks of the taxonomy with their weights, the likeliest first.

    `kinds` are those of the files that come along, `wants` the kinds of answer, `complexity` 0 to 1.
    """

    words: str
    kinds: frozenset[str]
    likely: tuple[tuple[str, float], ...]
    wants: frozenset[str]
    complexity: float

    @cached_property
    def top(self) -> str:
        """The likeliest task."""
        return self.likely[0][0] if self.likely else GENERAL

    @property
    def weight(self) -> float:
        """How likely the likeliest task is; from `SURE` on, words asked for it."""
        return self.likely[0][1] if self.likely else 0.0

    @property
    def general(self) -> bool:
        """Whether it is one for a general language model: to explain, to write, to talk."""
        return self.top == GENERAL

    @property
    def title(self) -> str:
        """The likeliest task in words."""
        return taxonomy().kinds[self.top].title


def analyse(text: str, file_kinds: frozenset[str]) -> TaskReading:
    """Find out what is asked for, from a text and the kinds of files that come with it."""
    ordered = sorted(_weights(text, file_kinds).items(), key=lambda item: -item[1])
    likely = tuple((name, weight) for name, weight in ordered if weight >= _KEPT * ordered[0][1])
    return TaskReading(
        words=words_asked(text),
        kinds=file_kinds,
        likely=likely,
        wants=_wants(likely),
        complexity=_complexity(text.lower()),
    )


def _weights(text: str, kinds: frozenset[str]) -> dict[str, float]:
    """Every task's weight, by the first reading of the text that asks for something."""
    found = readings(text)
    seen, mentioned = kinds or _named_files(text), _mentioned(found)
    question = bool(_QUESTION.search(text.lower()[:400]))
    used: dict[str, float] = {}
    for reading in found:
        used = _used(reading, kinds, seen, mentioned)
        if _most(used) >= _SAID:
            break
    if found and _most(used) < SURE and (whole := mended(found[0])) != found[0]:
        again = _used(whole, kinds, seen, mentioned)
        used = again if _most(again) >= SURE else used
    trust = _UNSAID_BESIDE_SAID if _most(used) >= SURE else 1.0
    weights = {}
    for kind in taxonomy().kinds.values():
        weight = used.get(kind.name, 0.0) + trust * _unsaid(kind, seen, question)
        if weight > 0:
            weights[kind.name] = weight
    return weights


def _used(
    reading: TextReading, kinds: frozenset[str], seen: frozenset[str], mentioned: frozenset[str]
) -> dict[str, float]:
    """How clearly a reading asks for each task, given the files."""
    found = taxonomy().kinds
    return {
        name: weight * _use_of_files(found[name], kinds, seen, mentioned) for name, weight in _said(reading)
    }


def _most(weights: Mapping[str, float]) -> float:
    return max(weights.values(), default=0.0)


def _said(reading: TextReading) -> Iterator[tuple[str, float]]:
    """How clearly a reading asks for each task: the first words of a sentence count most."""
    for kind in taxonomy().kinds.values():
        best, count = 0.0, 0
        for number, sentence in enumerate(reading.sentences):
            for pattern, weight in kind.asks:
                found = pattern.search(sentence)
                if found is None:
                    continue
                count += 1
                before = _words_before(sentence, found.start())
                best = max(best, weight * _LATER_SENTENCE**number / (1 + _LATER_WORD * before))
        if not best and any(kind.name in taxonomy().names.found(s) for s in reading.sentences):
            best, count = _NAMED, 1
        if best:
            yield kind.name, best + _OFTEN * min(3, count - 1)


def _words_before(sentence: str, at: int) -> int:
    """How many words of the same clause come before, and clauses of the sentence, at most 20."""
    clauses = sentence[:at].split(",")
    return min(20, clauses[-1].strip().count(" ") + bool(clauses[-1].strip()) + len(clauses) - 1)


def _use_of_files(
    kind: TaskKind, kinds: frozenset[str], seen: frozenset[str], mentioned: frozenset[str]
) -> float:
    """How much of a task's weight stays, given the files: one that has no use for them was hardly meant."""
    if kinds:
        if not kind.suits(kinds | ({"text"} & kind.takes)):
            return _FOREIGN_FILE
        return _WITH_FILE if kinds - {"text"} else 1.0
    if not kind.needs:
        return _FOREIGN_FILE if seen and not kind.suits(seen) else 1.0
    if seen and kind.suits(seen):
        return 1.0
    return _WITHOUT_FILE if kind.needs & mentioned or kind.name in mentioned else _NO_FILE_IN_MIND


def _unsaid(kind: TaskKind, seen: frozenset[str], question: bool) -> float:
    """What a file says by itself: a recording alone is there to be written down."""
    weight = max((kind.alone.get(one, 0.0) for one in seen), default=0.0)
    if question and weight and kind.suits(seen):
        weight = max(weight, kind.question)
    if kind.name == GENERAL and seen <= {"text"}:
        weight = _GENERAL_ALONE
    return weight


def _mentioned(found: tuple[TextReading, ...]) -> frozenset[str]:
    """The kinds of file that the words are about, and the tasks that they name: they mean files."""
    sentences = " . ".join(sentence for reading in found[:1] for sentence in reading.sentences)
    kinds = (kind for kind, pattern in taxonomy().mentions.items() if pattern.search(sentences))
    return frozenset((*kinds, *taxonomy().names.found(sentences)))


def _named_files(text: str) -> frozenset[str]:
    lowered = text.lower()[:400]
    return frozenset(kind for kind, pattern in _NAMED_FILES.items() if pattern.search(lowered))


def _wants(likely: tuple[tuple[str, float], ...]) -> frozenset[str]:
    kinds = taxonomy().kinds
    return frozenset().union(*(kinds[name].gives for name, weight in likely if weight >= 0.6 * likely[0][1]))


def _complexity(text: str) -> float:
    """From 0 to 1: by length, the steps that it names, the questions that it asks."""
    asked = " ".join(sentence for reading in readings(text)[:1] for sentence in reading.sentences)
    steps = len(_STEPS.findall(asked)) + len(_ITEMS.findall(text))
    parts = asked.count("?") + asked.count(";") + asked.count(" and ")
    return min(1.0, len(asked.split()) / 120 + len(text) / 20_000 + 0.2 * steps + 0.06 * parts)
