"""Writing registry.yaml: nothing but what is meant changes, whoever else writes it at the same time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from spacedock.errors import BadRequestError
from spacedock_worker.registry import atomic_write as exchange
from spacedock_worker.registry import writing
from spacedock_worker.registry.file import Registry, default_text

BY_HAND = """\
# Mine: please keep.
spaces:
    mood:   # the first one
        id:   "mood"    # quoted

        # because of the proxy
        port: 7860   # the usual
        tags:
        - calm
        - merry   # sometimes
        description: >
            folded
            text

    # before clip
    clip: {id: clip, category: images}
# the end
categories: {images: [clip]}
"""

EDITOR = """
import sys
from pathlib import Path
from spacedock_worker.registry.file import Registry
registry, who = Registry(Path(sys.argv[1])), sys.argv[2]
print("ready", flush=True)
sys.stdin.read(1)
for n in range(100):
    if n % 4 == 3:
        registry.update(f"{who}-{n - 1}", {"likes": n})
    else:
        registry.add(f"{who}-{n}", {"category": "many"})
"""


def changed_lines(before: str, after: str) -> tuple[list[str], list[str]]:
    """The lines that went and those that came; all others are in their old order."""
    old, new = before.splitlines(), after.splitlines()
    return [line for line in old if line not in new], [line for line in new if line not in old]


def test_a_field_that_is_set_changes_its_own_line_and_keeps_the_comment() -> None:
    went, came = changed_lines(BY_HAND, writing.with_fields(BY_HAND, "mood", {"port": 8000, "likes": 3}))
    assert came == [
        '        id: "mood"      # quoted',
        "        port: 8000   # the usual",
        "        likes: 3",
    ]
    assert went == ['        id:   "mood"    # quoted', "        port: 7860   # the usual"]


def test_a_new_space_comes_last_with_the_files_own_indentation() -> None:
    went, came = changed_lines(BY_HAND, writing.with_entry(BY_HAND, "tone", {"id": "tone", "port": 1}))
    assert (went, came) == ([], ["    tone:", "        id: tone", "        port: 1"])


def test_flow_style_stays_flow_style() -> None:
    went, came = changed_lines(BY_HAND, writing.with_listed(BY_HAND, "images", "mood"))
    assert (went, came) == (["categories: {images: [clip]}"], ["categories: {images: [clip, mood]}"])


def test_what_changes_nothing_leaves_every_letter() -> None:
    assert writing.with_fields(BY_HAND, "mood", {"port": 7860}) == BY_HAND
    assert writing.without_listed(BY_HAND, "images", "mood") == BY_HAND
    assert writing.without_entry(BY_HAND, "nobody") == BY_HAND


def test_anchors_keep_their_meaning() -> None:
    text = "base: &usual\n  port: 80\nspaces:\n  a:\n    <<: *usual\n    id: a\n"
    after = writing.with_fields(text, "a", {"likes": 1})
    assert "<<: *usual" in after
    assert yaml.safe_load(after)["spaces"]["a"] == {"id": "a", "port": 80, "likes": 1}


def test_a_numeric_name_is_found_by_its_letters() -> None:
    text = "spaces:\n  007: {id: '007'}\n  8: {}\n"
    assert "likes: 1" in writing.with_fields(text, "007", {"likes": 1})
    assert yaml.safe_load(writing.without_entry(text, "8")) == {"spaces": {7: {"id": "007"}}}


NAMES = st.one_of(st.from_regex(r"[a-z][a-z0-9]{0,6}", fullmatch=True), st.sampled_from(["on", "1", "no"]))
WORDS = st.one_of(
    st.text(max_size=40),
    st.sampled_from(["on", "1:30", "1_000", "0o7", "010", "7e21", "0E0", "~", "<<", "= ", "\x85"]),
)
VALUES = st.one_of(
    st.integers(0, 10**6), st.floats(0, 1), st.booleans(), WORDS, st.lists(WORDS, max_size=3), st.just({})
)


@given(
    names=st.lists(NAMES, min_size=1, max_size=6, unique=True),
    place=st.integers(0, 5),
    fields=st.dictionaries(NAMES, VALUES, min_size=1, max_size=4),
)
def test_an_edit_leaves_all_other_entries_as_they_are(
    names: list[str], place: int, fields: dict[str, Any]
) -> None:
    pieces = [f"  '{name}':   # of {name}\n    id:  '{name}'  # its id\n" for name in names]
    text = "# begin\nspaces:\n" + "\n".join(pieces) + "# end\n"
    chosen = names[place % len(names)]
    after = writing.with_fields(text, chosen, fields)
    assert yaml.safe_load(after)["spaces"][chosen] == {"id": chosen} | fields
    for name, piece in zip(names, pieces, strict=True):
        assert name == chosen or piece in after
    gone = writing.without_entry(text, chosen)
    assert [*(yaml.safe_load(gone)["spaces"] or {})] == [name for name in names if name != chosen]
    assert gone.startswith("# begin\n")
    assert gone.endswith("# end\n")


@given(name=NAMES, fields=st.dictionaries(NAMES, VALUES, max_size=3))
def test_a_new_space_is_read_as_it_was_given(name: str, fields: dict[str, Any]) -> None:
    after = writing.with_entry(BY_HAND, name, fields)
    assert after.startswith(BY_HAND[: BY_HAND.index("# the end")])
    assert after.endswith(BY_HAND[BY_HAND.index("# the end") :])
    assert yaml.safe_load(after)["spaces"][name] == fields


LISTS = """\
spaces: {}
categories:
  # first
  images:   # all of them
    - clip   # mine

    # and this
    - "draw"
  text: [mood]
# end
"""


@given(name=NAMES, category=st.sampled_from(["images", "text", "new"]))
def test_a_name_that_is_listed_and_taken_off_again_leaves_every_letter(name: str, category: str) -> None:
    listed = writing.with_listed(LISTS, category, name)
    assert yaml.safe_load(listed)["categories"][category][-1] == name
    assert writing.without_listed(listed, category, name) == LISTS


def test_a_listed_name_is_a_line_below_the_others() -> None:
    assert changed_lines(LISTS, writing.with_listed(LISTS, "images", "on")) == ([], ["    - 'on'"])
    assert changed_lines(LISTS, writing.without_listed(LISTS, "images", "clip")) == (
        ["    - clip   # mine"],
        [],
    )
    assert writing.with_listed(LISTS, "images", "draw") == LISTS
    assert "images" not in writing.without_listed("categories:\n  images:\n  - a\n  b: [c]\n", "images", "a")


@pytest.mark.parametrize("ends", ["\r\n", "\n"])
def test_line_ends_and_a_byte_order_mark_do_no_harm(tmp_path: Path, ends: str) -> None:
    path = tmp_path / "registry.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + BY_HAND.replace("\n", ends).encode())
    Registry(path).update("mood", {"port": 8000})
    expected = writing.with_fields(BY_HAND, "mood", {"port": 8000})
    assert path.read_bytes() == expected.replace("\n", ends).encode()


def test_an_edit_that_would_change_other_entries_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "registry.yaml"
    text = "spaces:\n  a: &a {id: a, port: 80}\n  b: *a\n"
    path.write_text(text)
    with pytest.raises(BadRequestError, match="'a' cannot be changed without changing others"):
        Registry(path).update("a", {"port": 90})
    assert path.read_text() == text


def test_the_default_registry_is_edited_line_by_line() -> None:
    text = default_text()
    verdict = {"works": True, "reason": "answered", "at": "2026-11-23T00:00:00Z"}
    went, came = changed_lines(text, writing.with_fields(text, "UNESCO/nllb", {"verified": verdict}))
    assert went == []
    assert came[0] == "    verified:"
    assert changed_lines(writing.without_entry(text, "UNESCO/nllb"), text)[0] == []


def start(stack: ExitStack, path: Path, who: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", EDITOR, str(path), who]
    return stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))


def let_go(*editors: subprocess.Popen[bytes]) -> None:
    for editor in editors:
        assert editor.stdout is not None
        assert editor.stdout.readline() == b"ready\n"
    for editor in editors:
        assert editor.stdin is not None
        editor.stdin.write(b"!")
        editor.stdin.flush()


def by_hand(path: Path, number: int) -> None:
    """What a person's editor does: load, add a line of comment, save; in place, or by a new file.

    A good editor sees that the file has changed since it was loaded, and its person loads it again.
    """
    while True:
        seen = exchange.read(path)
        text = seen.text.replace("# notes\n", f"# notes\n# by hand {number}\n")
        if number % 2:
            if exchange.replace(path, seen, text):
                return
            continue
        with path.open("r+") as file:
            text = file.read().replace("# notes\n", f"# notes\n# by hand {number}\n")
            file.seek(0)
            file.write(text)
            file.flush()
            if os.fstat(file.fileno()).st_ino == path.stat().st_ino:
                return


def test_two_hundred_edits_at_once_and_a_person_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "registry.yaml"
    path.write_text("# notes\nspaces:\n  first: {id: first}   # keep\n")
    with ExitStack() as stack:
        editors = [start(stack, path, who) for who in ("one", "two")]
        let_go(*editors)
        number = 0
        while any(editor.poll() is None for editor in editors):
            by_hand(path, number)
            number += 1
            # A person is not faster than this; what is tested is where the saves fall.
            time.sleep(1.0)
        assert [editor.returncode for editor in editors] == [0, 0]
    snapshot, text = Registry(path).snapshot(), path.read_text()
    wanted = {f"{who}-{n}" for who in ("one", "two") for n in range(100) if n % 4 != 3}
    assert set(snapshot.spaces) == {"first", *wanted}
    assert set(snapshot.categories["many"]) == wanted
    assert all(
        snapshot.spaces[f"{who}-{n - 1}"].likes == n for who in ("one", "two") for n in range(3, 100, 4)
    )
    assert number > 0
    assert [f"# by hand {one}" in text for one in range(number)] == [True] * number
    assert "  first: {id: first}   # keep\n" in text
    assert snapshot.warnings == ()


def test_a_writer_that_is_killed_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "registry.yaml"
    path.write_text("# notes\nspaces: {}\n")
    with ExitStack() as stack:
        editor = start(stack, path, "one")
        let_go(editor)
        while "one-5:" not in path.read_text():
            assert editor.poll() is None
        editor.send_signal(signal.SIGKILL)
    assert Registry(path).snapshot().warnings == ()
    assert len(Registry(path).snapshot().spaces) >= 4
    Registry(path).add("after", {})
    assert "after" in Registry(path).snapshot().spaces


def test_a_missing_file_is_begun_with_the_default(tmp_path: Path) -> None:
    path = tmp_path / "deeper" / "registry.yaml"
    registry = Registry(path, default_text())
    assert "clip-analysis" in registry.snapshot().spaces
    assert path.read_text() == default_text()
    registry.add("mine", {})
    path.unlink()
    assert "mine" not in registry.snapshot().spaces
    assert path.read_text() == default_text()


@pytest.mark.skipif(os.getuid() != 0, reason="needs a file system that root cannot write either")
def test_a_default_that_cannot_be_written_is_used_with_a_warning() -> None:
    registry = Registry(Path("/proc/registry.yaml"), default_text())
    assert "clip-analysis" in registry.snapshot().spaces
    assert "cannot be written" in registry.snapshot().warnings[0]


def test_the_default_has_the_seeds_aliases_and_nobody_who_is_known_to_work(tmp_path: Path) -> None:
    snapshot = Registry(tmp_path / "registry.yaml", default_text()).snapshot()
    assert snapshot.warnings == ()
    aliases = [name for name in snapshot.spaces if "/" not in name]
    assert len(aliases) == 12
    assert all(snapshot.spaces[name].alternates for name in aliases)
    assert {other for name in aliases for other in snapshot.spaces[name].alternates} <= set(snapshot.spaces)
    assert all(entry.verified == "never" and entry.hub_id for entry in snapshot.spaces.values())
    assert set(snapshot.categories) == {
        "image_processing",
        "audio_processing",
        "text_processing",
        "nlp",
        "multimodal",
        "computer_vision",
        "specialized",
    }


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    kept, path = tmp_path / "kept.yaml", tmp_path / "registry.yaml"
    kept.write_text("spaces: {}\n")
    path.symlink_to(kept)
    Registry(path).add("a", {})
    assert path.is_symlink()
    assert "a:" in kept.read_text()
