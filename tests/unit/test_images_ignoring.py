"""Which files a .dockerignore keeps out of a build."""

from __future__ import annotations

import time
from io import BytesIO

import pytest

from spacedock_worker.errors import StepError
from spacedock_worker.images.build.context import without_ignored
from spacedock_worker.images.build.repository import Repository, RepositoryFile


def kept(ignore: str, *names: str) -> list[str]:
    content = {".dockerignore": ignore.encode()} | dict.fromkeys(names, b"")
    files = tuple(
        RepositoryFile(name, len(data), executable=False, open=lambda data=data: BytesIO(data))  # type: ignore[misc]
        for name, data in content.items()
    )
    left = without_ignored(Repository(files, ""))
    return [file.path for file in left.files if file.path != ".dockerignore"]


@pytest.mark.parametrize(
    ("pattern", "ignored"),
    [
        ("local.env", True),
        ("./local.env", True),
        ("/local.env", True),
        ("*.env", True),
        ("**/*.env", True),
        ("l?cal.env", True),
        ("[k-m]ocal.env", True),
        ("[^k]ocal.env", True),
        ("local\\.env", True),
        ("  local.env  \r", True),
        ("**", True),
        ("# local.env", False),
        ("local", False),
        ("*/local.env", False),
        ("LOCAL.env", False),
        ("", False),
    ],
)
def test_patterns_are_read_as_docker_does(pattern: str, ignored: bool) -> None:
    assert kept(f"{pattern}\n", "local.env") == ([] if ignored else ["local.env"])


def test_a_folder_goes_with_all_that_is_in_it() -> None:
    assert kept("venv/\n**/cache\n", "venv/lib/a.py", "a/b/cache/c", "a/b/c") == ["a/b/c"]


def test_the_last_line_that_matches_decides() -> None:
    assert kept("*\n!src\nsrc/*.log\n", "a", "src/app.py", "src/x.log") == ["src/app.py"]


def test_two_stars_are_any_number_of_folders() -> None:
    names = ("a/z", "a/b/z", "a/b/c/z", "z")
    assert kept("a/**/z\n", *names) == ["z"]
    assert kept("a/**\n", *names) == ["z"]
    assert kept("**/b/**/z\n", *names) == ["a/z", "z"]


def test_patterns_that_are_made_to_keep_us_busy_are_read_in_time() -> None:
    begun = time.process_time()
    kept(
        "\n".join([f"{'*a' * 60}b", "/".join(["**", "a"] * 100)] * 100),
        *(f"{'a' * 200}/{n}" for n in range(300)),
    )
    assert time.process_time() - begun < 5


def test_a_list_of_too_many_patterns_is_refused() -> None:
    with pytest.raises(StepError, match=r"\.dockerignore has more than 500"):
        kept("x\n" * 501, "x")
