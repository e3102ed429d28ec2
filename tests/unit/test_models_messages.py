"""What a model is told, and what is kept of its words."""

from __future__ import annotations

import time

import pytest
from pydantic import ValidationError

from spacedock.files import payload_of
from spacedock.request import Tier
from spacedock_worker.models.chat import MAX_TEXT_BYTES, messages, refusal
from spacedock_worker.models.endpoint import ModelEndpoint
from spacedock_worker.models.thoughts import told_apart

TEXT = ModelEndpoint(name="text", base_url="http://localhost:1/v1")
SIGHTED = ModelEndpoint(
    name="sighted", base_url="http://localhost:1/v1", accepts=frozenset({"text", "image"})
)
NOTES = payload_of("notes.txt", b"milk, eggs")
PICTURE = payload_of("cat.png", b"\x89PNG")
SPEECH = payload_of("speech.wav", b"RIFF")


def test_a_prompt_alone_is_one_message() -> None:
    assert messages("Hi", (), None) == [{"role": "user", "content": "Hi"}]


def test_half_a_surrogate_pair_can_be_sent() -> None:
    assert messages("a\ud800", (), None) == [{"role": "user", "content": "a?"}]


def test_an_instruction_is_the_systems() -> None:
    assert messages("Hi", (), "Be brief.")[0] == {"role": "system", "content": "Be brief."}


def test_text_files_stand_in_the_prompt() -> None:
    assert messages("What is this?", (NOTES,), None) == [
        {"role": "user", "content": "What is this?\n\nFile notes.txt:\n```\nmilk, eggs\n```"}
    ]


def test_a_file_without_a_prompt_is_enough() -> None:
    assert messages("", (NOTES,), None)[0]["content"] == "File notes.txt:\n```\nmilk, eggs\n```"


def test_text_in_another_encoding_is_still_sent() -> None:
    (message,) = messages("", (payload_of("latin.csv", "café".encode("latin-1")),), None)
    assert "caf\N{REPLACEMENT CHARACTER}" in str(message["content"])


def test_images_go_as_data_urls() -> None:
    (message,) = messages("What is it?", (PICTURE,), None)
    assert message["content"] == [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
    ]


def test_an_endpoint_takes_what_it_accepts() -> None:
    assert refusal(TEXT, [NOTES.ref, payload_of("a.json", b"{}").ref]) is None
    assert refusal(SIGHTED, [NOTES.ref, PICTURE.ref]) is None


def test_a_text_model_refuses_an_image() -> None:
    assert refusal(TEXT, [PICTURE.ref]) == "text is a text model and cannot take an image (cat.png)"


def test_no_model_takes_audio() -> None:
    assert "audio/" in str(refusal(SIGHTED, [SPEECH.ref]))


def test_a_long_text_is_refused() -> None:
    long = payload_of("long.txt", b"x" * (MAX_TEXT_BYTES + 1))
    assert "long.txt is 32769 bytes" in str(refusal(TEXT, [long.ref]))


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("Four.", "Four."),
        ("<think>\nTwo and two\nis…\n</think>\n\nFour.", "Four."),
        ("<think></think>Four.<think>Really?</think>", "Four."),
        ("Two and two is…</think>\nFour.", "Four."),
        ("<think>I wonder and wonder", ""),
        ("<thinking>It is two.</thinking>\nFour.", "Four."),
        ("<THINK>It is two.</THINK>Four.", "Four."),
        ("<seed:think>It is two.</seed:think>Four.", "Four."),
        ("[THINK]It is two.[/THINK]Four.", "Four."),
        ("◁think▷It is two.◁/think▷Four.", "Four."),
        ("<|START_THINKING|>Two.<|END_THINKING|><|START_RESPONSE|>Four.<|END_RESPONSE|>", "Four."),
        ("<think>It is two.</think><answer>Four.</answer>", "Four."),
        ("<think>Is <thinking> a tag?</think>Four.", "Four."),
        (
            "<|channel|>analysis<|message|>Two.<|end|><|start|>assistant<|channel|>final<|message|>Four.<|return|>",
            "Four.",
        ),
        ("Two.<|end|><|start|>assistant<|channel|>final<|message|>Four.", "Four."),
        ("<|channel|>analysis<|message|>Two and", ""),
        ("<|channel|>final <|constrain|>json<|message|>{}", "{}"),
        ("analysisTwo and two.assistantfinalFour.", "Four."),
        ("Write `<think>` before it.", "Write `<think>` before it."),
        ("Write <think> before it.", "Write <think> before it."),
        ("```xml\n<think>x</think>\n```", "```xml\n<think>x</think>\n```"),
        ("An <answer>four</answer>", "An <answer>four</answer>"),
    ],
)
def test_thoughts_are_left_out(said: str, kept: str) -> None:
    assert told_apart(said)[0] == kept


def test_thoughts_are_kept_apart() -> None:
    assert told_apart("<think>Two.</think>Four.<think>Sure.</think>") == ("Four.", "Two.\n\nSure.")


@pytest.mark.parametrize(
    "mark", ["<think>", "</think>", "<|channel|>a", "<|channel|>a<|message|>", "[THINK]x", "```\n"]
)
def test_a_million_marks_are_read_in_a_moment(mark: str) -> None:
    started = time.process_time()
    told_apart(mark * (2**20 // len(mark)))
    assert time.process_time() - started < 5.0


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://localhost:11434/v1", True),
        ("http://127.0.0.1:8080/v1", True),
        ("http://[::1]:8080/v1", True),
        ("http://localhost.:8080/v1", True),
        ("http://192.168.1.7/v1", True),
        ("http://gpu-box:8000/v1", True),
        ("https://api.example.com/v1", False),
        ("http://93.184.216.34/v1", False),
    ],
)
def test_private_addresses_are_local(url: str, local: bool) -> None:
    assert ModelEndpoint(name="e", base_url=url).local is local


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_url": "localhost:11434"},
        {"base_url": "ftp://localhost/v1"},
        {"tier": Tier.HEAVY},
        {"max_tokens": 0},
        {"modle": "x"},
    ],
)
def test_a_wrong_endpoint_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ModelEndpoint.model_validate({"name": "e", "base_url": "http://localhost:1/v1"} | wrong)


def test_a_key_is_not_shown() -> None:
    endpoint = ModelEndpoint.model_validate(
        {"name": "e", "base_url": "http://localhost:1/v1", "api_key": "sk-1"}
    )
    assert "sk-1" not in repr(endpoint)
