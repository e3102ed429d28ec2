"""Where the inputs of a call come from, told beforehand, and the notes that this needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from spacedock.files import Payload, payload_of
from spacedock_worker.adapters.base import AppCall
from spacedock_worker.adapters.binding.explain import mapping_of
from spacedock_worker.adapters.binding.fill import fill
from spacedock_worker.adapters.endpoint import Endpoint, InputSlot
from spacedock_worker.errors import StepError
from spacedock_worker.state.image_usage import FOLDER, EndpointStore

ASK = Endpoint(
    "/ask",
    (
        InputSlot("image", "Image", "image", 0, True),
        InputSlot("question", "Question", "textbox", 1, True),
        InputSlot("steps", "Steps", "slider", 2, False, default=4),
        InputSlot("style", "Style", "dropdown", 3, False, default="a", choices=(("A", "a"), ("B", "b"))),
    ),
    4,
    ("textbox",),
)


def sign() -> Payload:
    return Payload(payload_of("sign.png", b"").ref, b"")


def test_each_input_tells_its_source_and_the_prompt_is_not_repeated() -> None:
    name, rows = mapping_of([ASK], AppCall("a secret question", (sign(),), {"style": "b"}))
    assert name == "/ask"
    assert rows == (
        ("image", "file sign.png"),
        ("question", "the prompt"),
        ("steps", "default: 4"),
        ("style", "given: b"),
    )


def test_a_call_that_fits_nothing_is_refused_as_the_call_itself_would_be() -> None:
    with pytest.raises(StepError, match="image"):
        mapping_of([ASK], AppCall("no picture"))


async def test_endpoints_outlive_the_process_that_saw_them(tmp_path: Path) -> None:
    await EndpointStore(tmp_path).put("sha256:a", (ASK,))
    assert EndpointStore(tmp_path).get("sha256:a") == (ASK,)
    assert EndpointStore(tmp_path).get("sha256:b") is None


async def test_a_broken_note_is_not_known_and_is_written_anew(tmp_path: Path) -> None:
    await EndpointStore(tmp_path).put("sha256:a", (ASK,))
    [path] = (tmp_path / FOLDER).iterdir()
    path.write_text('{"cut off')
    notes = EndpointStore(tmp_path)
    assert notes.get("sha256:a") is None
    await notes.put("sha256:a", (ASK,))
    assert EndpointStore(tmp_path).get("sha256:a") == (ASK,)


async def test_an_app_that_describes_itself_at_any_length_is_not_kept(tmp_path: Path) -> None:
    long = Endpoint("/long", (InputSlot("x", "x" * 3_000_000, "textbox", 0, True),), 1, ("textbox",))
    await EndpointStore(tmp_path).put("sha256:a", (long,))
    assert EndpointStore(tmp_path).get("sha256:a") is None


def test_optional_inputs_count_where_the_endpoint_has_them() -> None:
    wishes = {"steps": 9, "style": "z", "temperature": 1, "question": "another", "image": "a.png"}
    filling = fill(ASK, AppCall("a question", (sign(),), optional=wishes))
    assert (filling.data[1:], filling.honoured) == (("a question", 9, "a"), ("steps",))


def test_an_input_that_is_given_goes_before_an_optional_one() -> None:
    filling = fill(ASK, AppCall("a question", (sign(),), {"steps": 2}, optional={"steps": 9}))
    assert (filling.data[2], filling.honoured) == (2, ())
