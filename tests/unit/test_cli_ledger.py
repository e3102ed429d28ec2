"""What a batch has behind it: results files that were torn or are foreign, and picking a batch up."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from spacedock.cli.batching.checkpoint import Checkpoint, answered, fingerprint, state_dir, write_line
from spacedock.errors import BadRequestError
from spacedock.request import JobRequest
from spacedock.result import JobResult, Output
from spacedock.states import JobState

REQUEST = JobRequest(prompt="hello")
RESULT = JobResult(id="j1", state=JobState.SUCCEEDED, output=Output(text="zwei\nLinien: ü"))


def row(number: int) -> bytes:
    text = io.StringIO()
    write_line(text, number, REQUEST, RESULT)
    return text.getvalue().encode()


def refused(path: Path) -> str:
    with pytest.raises(BadRequestError) as caught:
        answered(path)
    return str(caught.value)


def test_a_result_is_one_line_with_its_number_and_prompt() -> None:
    written = json.loads(row(3))
    assert (written["line"], written["prompt"], written["id"]) == (3, "hello", "j1")


def test_answered_lines_are_known_with_what_they_asked(tmp_path: Path) -> None:
    (tmp_path / "r").write_bytes(row(1) + row(4))
    assert answered(tmp_path / "r") == {1: fingerprint(REQUEST), 4: fingerprint(REQUEST)}


def test_a_missing_file_has_no_answers(tmp_path: Path) -> None:
    assert answered(tmp_path / "r") == {}


@pytest.mark.parametrize("torn", [1, 5, 9, 40, -1])
def test_a_torn_last_line_is_cut_off(tmp_path: Path, torn: int) -> None:
    (tmp_path / "r").write_bytes(row(1) + row(2)[:torn])
    assert list(answered(tmp_path / "r")) == [1]
    assert (tmp_path / "r").read_bytes() == row(1)


@pytest.mark.parametrize(
    "content",
    [
        b"my only notes",
        b'{"a": 1}',
        b'{"prompt": "hello"}\n{"prompt": "hello"}\n',
        b"\n",
        b"1\n",
        b"[]\n",
        b"null\n",
        b'{"line": "x", "asked": "y"}\n',
        b"\xff\xfe\n",
        b"[" * 100_000 + b"\n",
    ],
)
def test_a_foreign_file_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "r").write_bytes(content)
    assert "holds no results of a batch: choose another -o" in refused(tmp_path / "r")
    assert (tmp_path / "r").read_bytes() == content


def test_a_foreign_line_after_results_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r").write_bytes(row(1) + b"and my notes")
    refused(tmp_path / "r")
    assert (tmp_path / "r").read_bytes().endswith(b"and my notes")


def test_a_directory_takes_no_results(tmp_path: Path) -> None:
    assert "cannot take results" in refused(tmp_path)


def test_the_idempotency_key_is_no_part_of_what_is_asked() -> None:
    keyed = REQUEST.model_copy(update={"idempotency_key": "k"})
    assert fingerprint(keyed) == fingerprint(REQUEST)


def test_another_request_is_another_fingerprint() -> None:
    assert fingerprint(JobRequest(prompt="hullo")) != fingerprint(REQUEST)


def test_an_unfinished_batch_is_picked_up_with_the_same_keys(tmp_path: Path) -> None:
    first, second = Checkpoint(tmp_path, "b"), Checkpoint(tmp_path, "b")
    assert second.resumed
    assert second.key(1, REQUEST) == first.key(1, REQUEST)


def test_another_batch_has_other_keys(tmp_path: Path) -> None:
    assert Checkpoint(tmp_path, "b").key(1, REQUEST) != Checkpoint(tmp_path, "c").key(1, REQUEST)


def test_a_line_that_was_changed_is_another_job(tmp_path: Path) -> None:
    book = Checkpoint(tmp_path, "b")
    assert book.key(1, REQUEST) != book.key(1, JobRequest(prompt="hullo"))


def test_two_lines_that_ask_the_same_are_two_jobs(tmp_path: Path) -> None:
    book = Checkpoint(tmp_path, "b")
    assert book.key(1, REQUEST) != book.key(2, REQUEST)


def test_a_finished_batch_starts_anew(tmp_path: Path) -> None:
    first = Checkpoint(tmp_path, "b")
    first.finish()
    second = Checkpoint(tmp_path, "b")
    assert not second.resumed
    assert second.key(1, REQUEST) != first.key(1, REQUEST)


def test_a_key_fits_into_a_request(tmp_path: Path) -> None:
    key = Checkpoint(tmp_path, "b").key(10**9, REQUEST)
    assert JobRequest(prompt="x", idempotency_key=key)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff"])
def test_a_memory_that_was_torn_is_no_obstacle(tmp_path: Path, content: bytes) -> None:
    Checkpoint(tmp_path, "b")
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(content)
    assert not Checkpoint(tmp_path, "b").resumed
    assert Checkpoint(tmp_path, "b").resumed


def test_a_place_that_cannot_keep_anything_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadRequestError, match="XDG_STATE_HOME"):
        Checkpoint(tmp_path / "file", "b")


def test_a_source_whose_name_is_no_unicode_can_be_remembered(tmp_path: Path) -> None:
    assert not Checkpoint(tmp_path, "\udcff.jsonl").resumed


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"XDG_STATE_HOME": "/s", "HOME": "/h"}, "/s/spacedock/batches"),
        ({"XDG_STATE_HOME": "", "HOME": "/h"}, "/h/.local/state/spacedock/batches"),
        ({}, "/.local/state/spacedock/batches"),
    ],
)
def test_batches_are_remembered_in_this_users_state(env: dict[str, str], expected: str) -> None:
    assert state_dir(env) == Path(expected)
