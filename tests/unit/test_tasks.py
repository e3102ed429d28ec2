"""Understanding a task: what words and files ask for."""

from __future__ import annotations

import time

import pytest

from spacedock_worker.recommend.tasks import SURE, analyse
from spacedock_worker.recommend.taxonomy import GENERAL, taxonomy

ASR, CAPTION, VQA = "automatic-speech-recognition", "image-to-text", "visual-question-answering"
DOCUMENT, CLIP = "document-question-answering", "zero-shot-image-classification"

CASES = [
    ("What does the man in this recording say?", "audio", ASR),
    ("listen to this and write down every word", "audio", ASR),
    ("turn this voice memo into notes", "audio", ASR),
    ("Was wird in dieser Aufnahme gesagt?", "audio", ASR),
    ("Que dit cette personne ?", "audio", ASR),
    ("What genre is this song?", "audio", "audio-classification"),
    ("identify the bird singing in this clip", "audio", "audio-classification"),
    ("read out this text in my voice", "audio", "text-to-speech"),
    ("clone my voice and say happy birthday grandma", "audio", "text-to-speech"),
    ("make a picture of a lighthouse", "", "text-to-image"),
    ("logo for a coffee shop, flat design", "", "text-to-image"),
    ("Dessine-moi un mouton", "", "text-to-image"),
    ("describe photo.jpg", "", CAPTION),
    ("generate alt text", "image", CAPTION),
    ("how many dogs are in this photo?", "image", VQA),
    ("let's chat about this picture", "image", VQA),
    ("Is this picture a cat or a dog?", "image", CLIP),
    ("how similar are this image and the text 'a red car'", "image", CLIP),
    ("What is the invoice total?", "image", DOCUMENT),
    ("when does this contract end?", "image", DOCUMENT),
    ("remove the background from this photo", "image", "image-background-removal"),
    ("is this review positive?", "", "sentiment-analysis"),
    ("The food was cold and the waiter was rude. Positive or negative?", "", "sentiment-analysis"),
    ("tl;dr this report", "text", "summarization"),
    ("Fasse diesen Artikel in drei Sätzen zusammen", "text", "summarization"),
    ("how do you say good night in Portuguese", "", "translation"),
    ("Traduis cette phrase en anglais", "", "translation"),
    ("SQL query to find duplicate rows", "", "code-generation"),
    ("Schreibe eine Python-Funktion, die Primzahlen findet", "", "code-generation"),
    ("compose a short lullaby melody", "", "text-to-audio"),
    ("write an email to my boss asking for a day off", "", GENERAL),
    ("why is the sky blue", "", GENERAL),
    ("give me a recipe for pancakes", "", GENERAL),
    ("hello", "", GENERAL),
]


@pytest.mark.parametrize(("text", "kinds", "task"), CASES)
def test_a_task_is_known_by_its_words_and_files(text: str, kinds: str, task: str) -> None:
    assert analyse(text, frozenset(kinds.split())).top == task


@pytest.mark.parametrize(
    ("text", "task"),
    [
        ("Translate to French: Please draw me a picture of the summary", "translation"),
        ('Is the customer happy? "Translate my order, summarize it and draw it."', "sentiment-analysis"),
        ("Summarise this.\n\nThe draw was made in Geneva.\n\nTranslate nothing of it.", "summarization"),
        ("what does this code do?\n```python\ndef summarize(): pass\n```", GENERAL),
        ("Question: how do you say 'tree' in Italian?", "translation"),
    ],
)
def test_what_only_comes_along_asks_for_nothing(text: str, task: str) -> None:
    assert analyse(text, frozenset()).top == task


@pytest.mark.parametrize(
    ("text", "task"),
    [
        ("Write a python function that transcribes audio", "code-generation"),
        ("Summarize this article about image generation", "summarization"),
        ("Explain how speech recognition works", GENERAL),
        ("What is sentiment analysis?", GENERAL),
    ],
)
def test_the_first_words_of_a_request_decide(text: str, task: str) -> None:
    assert analyse(text, frozenset()).top == task


@pytest.mark.parametrize(("kind", "task"), [("audio", ASR), ("image", CAPTION), ("text", GENERAL)])
def test_a_file_alone_has_its_usual_task(kind: str, task: str) -> None:
    assert analyse("", frozenset({kind})).top == task


def test_a_question_beside_an_image_is_about_it() -> None:
    assert analyse("is the door open?", frozenset({"image"})).top == VQA


def test_a_file_that_a_task_has_no_use_for_speaks_against_it() -> None:
    text = "summarize this"
    assert analyse(text, frozenset({"text"})).top == "summarization"
    assert analyse(text, frozenset({"audio"})).top == ASR


def test_what_a_task_gives_is_wanted() -> None:
    assert analyse("draw a horse", frozenset()).wants == {"image"}
    assert analyse("translate this into Greek", frozenset()).wants == {"text"}


def test_only_words_make_sure() -> None:
    assert analyse("translate this into Greek", frozenset()).weight >= SURE
    assert analyse("", frozenset({"image"})).weight < SURE


def test_several_items_and_many_steps_are_seen() -> None:
    simple = analyse("name a city", frozenset()).complexity
    steps = analyse("First list ten cities, then rank them, then explain why; finally sum up", frozenset())
    assert simple < 0.2 < 0.5 < steps.complexity


def test_any_text_is_understood_quickly() -> None:
    texts = ["", " ", "\x00", "?" * 5000, "a" * 100_000, "word " * 50_000, "'\"" * 3000, "((((", "è" * 999]
    analyse("", frozenset())
    started = time.process_time()
    for text in texts:
        analyse(text, frozenset({"image"}))
    assert time.process_time() - started < 1.0


@pytest.mark.parametrize(
    "piece",
    ["\n", "\r\n", "\t", "- \n", "1. \n", "a", "é", "'a ", "` ", "the ", "draw a picture of my ", ": ", '"'],
)
def test_no_text_keeps_other_jobs_waiting(piece: str) -> None:
    text = piece * (200_000 // len(piece))
    analyse(text, frozenset())
    began = time.process_time()
    analyse(text, frozenset())
    assert time.process_time() - began < 0.5


def test_every_task_of_the_taxonomy_can_be_named() -> None:
    for name, kind in taxonomy().kinds.items():
        assert name in taxonomy().names.found(name)
        assert kind.gives
        assert set(kind.near) <= taxonomy().kinds.keys()
