"""The command's wrong usages: exit code 2, what to do on standard error, and nothing on standard output."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest
import redis

from spacedock import cli
from spacedock.cli.app import main


class Command:
    """Runs the command in this process."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: Path
    ) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys
        monkeypatch.setenv("SPACEDOCK_REDIS_URL", f"unix://{home}/no.sock")
        monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))

    def __call__(self, *arguments: str | Path, stdin: bytes = b"", code: int = 2) -> str:
        """What it says on standard error; it must end with `code`, and write nothing where that is 2."""
        self._monkeypatch.setattr(sys, "argv", ["spacedock", *map(str, arguments)])
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        with pytest.raises(SystemExit) as ended:
            main()
        self.out, err = self._capsys.readouterr()
        assert ended.value.code == code, err
        if code == 2:
            assert self.out == ""
        assert "Traceback" not in err
        return err


@pytest.fixture
def spacedock(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    return Command(monkeypatch, capsys, tmp_path)


def test_a_bundle_is_made_where_the_daemon_is(spacedock: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spacedockd.bundling", None)
    assert "on the host that runs spacedockd" in spacedock("spaces", "bundle", "out.tar", "mood")
    assert "install the daemon" in spacedock("spaces", "unbundle", "in.tar")


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "hello"),
        ("run", "hello", "--dry-run"),
        ("run", "hello", "--verbose"),
        ("hello there",),
        ("--list-spaces",),
        ("--cleanup-cache",),
        ("status", "j"),
        ("result", "j"),
        ("cancel", "j"),
        ("spaces", "list"),
        ("spaces", "lock"),
        ("cleanup",),
        ("cleanup", "--dry-run", "--images", "--json"),
        ("spaces", "show", "mood"),
        ("spaces", "remove", "mood"),
        ("spaces", "add", "mood", "--image", "mood:1"),
        ("batch", "-"),
    ],
)
def test_without_a_daemon_every_command_says_how_to_start_one(
    spacedock: Command, arguments: tuple[str, ...]
) -> None:
    assert "Start it with `spacedockd`" in spacedock(*arguments, stdin=b"hello\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", ""), "give at least one of them"),
        (("run",), "give at least one of them"),
        (("run", "x", "--input", "steps"), "give it as NAME=VALUE"),
        (("run", "x", "--input", "=4"), "give it as NAME=VALUE"),
        (("run", "x", "--input", ""), "give it as NAME=VALUE"),
        (("run", "x", "--file", "/no/such"), "/no/such: No such file"),
        (("run", "x", "--file", "/tmp"), "is a directory"),
        (("run", "x", "--file", "/dev/zero"), "is not a regular file"),
        (("run", "x", "--endpoint", "predict"), "starts with '/'"),
        (("run", "x", "--space", "a b"), "is not a Space"),
        (("run", "x", "--space", ""), "is not a Space"),
        (("run", "x", "--space", "./no/such"), "is not a directory"),
        (("run", "x", "--space", "~no-such-user/x"), "there is no such user"),
        (("run", "x", "--timeout", "0"), "timeout: "),
        (("run", "x", "--timeout", "nan"), "timeout: "),
        (("run", "x", "--timeout", "soon"), "--timeout"),
        (
            ("run", "x", "--keep-for", "90d"),
            "--keep-for 90d: a result is kept for at least 1 s",
        ),
        (("batch", "/no/such.txt", "--keep-for", "1w"), "--keep-for 1w: '1w' is no age"),
        (("run", "x", "--tier", "gold"), "--tier"),
        (("run", "x", "--timeout", "soon"), "Invalid value for '--timeout': must be a number"),
        (("run", "x", "--tier", "gold"), "Invalid value for '--tier': 'gold' is not one of"),
        (("jobs", "--limit", "0"), "Invalid value for '--limit': must be at least 1"),
        (("spaces", "add", "m", "--port", "http"), "Invalid value for '--port': must be a whole number"),
        (("run", "x", "--no-such-option"), "--no-such-option"),
        (("run", "x", "--redis", "localhost"), "is not the address of a Redis"),
        (("run", "x", "--redis", "redis://[::1"), "is not the address of a Redis"),
        (("batch", "/no/such.jsonl"), "/no/such.jsonl: No such file"),
        (("batch",), "PROMPTS"),
        (("spaces", "add", "mood"), "--dir, --hub and --image"),
        (("spaces", "add", "mood", "--dir", "/no/such"), "is not a directory"),
        (("spaces", "add", "mood", "--image", "x", "--port", "http"), "--port"),
        (("result", "j", "--provenance", "--json"), "--provenance needs a value, and --json is another"),
        (("a prompt", "--output-dir", "--keep"), "If it is the value, write --output-dir=--keep"),
        (("nonsense",), "nonsense"),
        (("bacth", "x"), "Did you mean batch?"),
        (("x y", "--tier", "gold"), "--tier"),
        (("run", "x", "--batch-mode", "-f", "/dev/null", "-f", "/no/such"), "/dev/null: is not a regular"),
    ],
)
def test_a_wrong_usage_says_what_to_do(spacedock: Command, arguments: tuple[str, ...], words: str) -> None:
    assert words in spacedock(*arguments)


def test_a_file_over_the_limit_is_told_before_anything_is_asked(spacedock: Command, tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        os.truncate(file.fileno(), 65 * 2**20)
    assert "over the limit of 64 MB" in spacedock("run", "x", "--file", tmp_path / "huge")


def test_malformed_lines_are_told_with_their_numbers(spacedock: Command, tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": "fine"}\n{"prompt": \n{"promt": "x"}\n')
    said = spacedock("batch", tmp_path / "p.jsonl", "-o", tmp_path / "r.jsonl")
    assert "line 2: not JSON" in said
    assert "line 3: unknown key 'promt'" in said
    assert not (tmp_path / "r.jsonl").exists()


@pytest.mark.parametrize(
    ("stdin", "words"),
    [(b"", "standard input is empty"), (b"\xff", "line 1: not UTF-8 text"), (b"{", "line 1: not JSON")],
)
def test_standard_input_that_is_no_batch_is_told(spacedock: Command, stdin: bytes, words: str) -> None:
    assert words in spacedock("batch", "-", stdin=stdin)


def test_a_password_is_not_repeated(spacedock: Command) -> None:
    assert "secret" not in spacedock("run", "x", "--redis", "redis://:secret@127.0.0.1:1")


@pytest.fixture
def prompts(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch, spacedock: Command) -> Path:
    monkeypatch.setenv("SPACEDOCK_REDIS_URL", redis_url)
    (tmp_path / "p.txt").write_text("hello\n")
    (tmp_path / "notes").write_text("my notes")
    return tmp_path / "p.txt"


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("notes", "choose another -o"),
        ("notes/r.jsonl", "Choose another -o"),
        (".", "cannot take results"),
        ("p.txt", "choose another -o"),
    ],
)
def test_a_place_that_takes_no_results_is_told_and_nothing_is_submitted(
    spacedock: Command, prompts: Path, redis_url: str, output: str, words: str
) -> None:
    said = spacedock("batch", prompts, "-o", prompts.parent / output)
    assert words in said
    assert (prompts.parent / "notes").read_text() == "my notes"
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0


def test_a_job_waits_where_no_worker_is_and_can_be_cancelled(spacedock: Command, prompts: Path) -> None:
    assert "no worker is running" in spacedock("run", "hello", "--detach", code=0)
    job = spacedock.out.strip()
    spacedock("status", job, code=0)
    assert spacedock.out == "queued: no host works on this queue: start one with `spacedockd`\n"
    assert "is cancelled" in spacedock("cancel", job, code=0)
    assert "the job was cancelled" in spacedock("result", job, code=1)
    assert "is cancelled" in spacedock("cancel", job, code=0)


def test_an_unknown_job_is_told(spacedock: Command, prompts: Path) -> None:
    assert "no job j. Results are kept for 24 hours" in spacedock("result", "j")


@pytest.mark.parametrize("arguments", [("--help",), ("spaces", "--help")])
def test_what_a_subcommand_does_is_said_in_whole_words(
    spacedock: Command, arguments: tuple[str, ...]
) -> None:
    spacedock(*arguments, code=0)
    assert "..." not in spacedock.out.partition("Commands:")[2]


def test_ctrl_c_before_the_command_has_begun_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "argv", ["spacedock", "tiers"])
    monkeypatch.setattr("spacedock.cli.app.main", interrupted)
    # The command itself, which is not reached, has the collector on again.
    monkeypatch.setattr("gc.disable", lambda: None)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130
