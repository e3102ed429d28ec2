"""From a call to a program's input, and from what it left to an answer."""

from __future__ import annotations

import json

import pytest

from spacedock.files import payload_of
from spacedock.result import ErrorKind
from spacedock_worker.adapters.base import AppCall
from spacedock_worker.adapters.command import answer_of, task_of
from spacedock_worker.containers.docker.task import Captured, Completed, Task
from spacedock_worker.errors import StepError


def inputs_of(task: Task) -> list[str]:
    return [path for path in task.files if path.startswith("input/")]


def test_the_prompt_is_given_twice() -> None:
    task = task_of(AppCall("grüße"), timeout=7)
    assert task.stdin == task.files["input.txt"] == "grüße".encode()
    assert task.timeout == 7


def test_the_environment_says_where_everything_is() -> None:
    task = task_of(AppCall("", inputs={"size": 3}))
    assert task.env == {
        "SPACEDOCK_PROMPT_FILE": "/workspace/input.txt",
        "SPACEDOCK_INPUT_DIR": "/workspace/input",
        "SPACEDOCK_OUTPUT_DIR": "/workspace/output",
        "SPACEDOCK_OUTPUT_FILE": "/workspace/output.txt",
        "SPACEDOCK_INPUTS": '{"size": 3}',
    }
    assert task.files["inputs.json"] == b'{"size": 3}'


def test_inputs_too_long_for_the_environment_are_only_in_the_file() -> None:
    task = task_of(AppCall("", inputs={"story": "x" * 200_000}))
    assert "SPACEDOCK_INPUTS" not in task.env
    assert json.loads(task.files["inputs.json"]) == {"story": "x" * 200_000}


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a.txt", "a.txt"),
        ("..", "file"),
        ("a\nb\x1b.txt", "ab.txt"),
        ("ä" * 200 + ".png", "ä" * 118 + ".png"),
    ],
)
def test_input_files_have_names_that_linux_takes(name: str, safe: str) -> None:
    assert inputs_of(task_of(AppCall("", (payload_of(name, b""),)))) == [f"input/{safe}"]


def test_input_files_of_one_name_are_told_apart() -> None:
    files = (payload_of("a.txt", b"1"), payload_of("a.txt", b"2"))
    assert inputs_of(task_of(AppCall("", files))) == ["input/a.txt", "input/a-2.txt"]


def test_an_endpoint_cannot_be_asked_for() -> None:
    with pytest.raises(StepError, match="Leave `endpoint` out") as caught:
        task_of(AppCall("", endpoint="/predict"))
    assert caught.value.kind is ErrorKind.BAD_INPUT


def test_the_text_goes_before_stdout() -> None:
    answer = answer_of(Completed(0, Captured(b"working\n"), text=Captured(b"42\r\n")))
    assert answer.text == answer.data["output"] == "42"


def test_json_is_data_and_stays_text() -> None:
    answer = answer_of(Completed(0, Captured(b'{"mood": "good"}\n')))
    assert answer.text == '{"mood": "good"}'
    assert answer.data["output"] == {"mood": "good"}


@pytest.mark.parametrize("text", ["42", "{not json", "[" * 100_000, "null"])
def test_what_is_no_json_object_or_array_stays_text(text: str) -> None:
    assert answer_of(Completed(0, Captured(text.encode()))).data["output"] == text


def test_json_that_was_cut_is_text() -> None:
    answer = answer_of(Completed(0, Captured(b"[1]", truncated=True)))
    assert (answer.data["output"], answer.truncated) == ("[1]", True)


def test_the_end_of_stderr_is_kept() -> None:
    assert answer_of(Completed(0, stderr=Captured(b"x" * 5000 + b"end"))).data["stderr"][-4:] == "xend"


def test_nothing_is_an_empty_text() -> None:
    assert answer_of(Completed(0)).text == ""


def test_files_alone_have_no_text() -> None:
    answer = answer_of(Completed(0, files=(("a.png", b"png"),)))
    assert (answer.text, answer.files[0].ref.media_type) == (None, "image/png")


def test_output_files_are_named_by_their_folders_and_told_apart() -> None:
    files = (("a/b.txt", b"1"), ("a-b.txt", b"2"), ("x\x1b[1m.txt", b"3"), ("\udcff.bin", b"4"))
    names = [payload.ref.name for payload in answer_of(Completed(0, files=files)).files]
    assert names == ["a-b.txt", "a-b-2.txt", "x[1m.txt", "?.bin"]


def test_bytes_that_are_no_text_do_not_break_the_answer() -> None:
    assert answer_of(Completed(0, Captured(b"\xff\xfe ok"))).text == "\ufffd\ufffd ok"


@pytest.mark.parametrize(
    ("completed", "said"),
    [
        (Completed(3, Captured(b"out"), Captured(b"\x1b[31mno model\n")), "It said:\nno model"),
        (Completed(1, Captured(b"out\n")), "It said:\nout"),
        (Completed(127), "exit code 127. It said nothing."),
    ],
)
def test_a_failure_tells_what_the_program_said(completed: Completed, said: str) -> None:
    with pytest.raises(StepError) as caught:
        answer_of(completed)
    assert caught.value.kind is ErrorKind.APP_ERROR
    assert said in str(caught.value)
