"""The page about the architecture says what the code holds to."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from pathlib import Path

TOP = Path(__file__).parent.parent.parent
PAGE = (TOP / "docs/architecture.md").read_text()


def test_the_drawing_of_the_rooms_is_the_contract_of_the_imports() -> None:
    contracts = tomllib.loads((TOP / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [one["layers"] for one in contracts if one.get("containers") == ["spacedock_worker"]]
    drawn = re.search(r"```rooms\n(.*?)```", PAGE, re.DOTALL)
    assert drawn is not None
    assert [re.split(r"  +", line)[0] for line in drawn[1].splitlines()] == layers


def test_every_room_of_the_worker_has_its_place() -> None:
    top = TOP / "worker/spacedock_worker"
    rooms = {path.stem for path in top.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    drawn = PAGE.split("```rooms\n")[1].split("```")[0]
    assert rooms - {"__init__", "__main__"} == {
        room for line in drawn.splitlines() for room in re.split(r"  +", line)[0].split(" | ")
    }


def test_the_way_of_a_prompt_leads_through_modules_that_exist() -> None:
    way = re.findall(r"^\| \d+ \| `(.*?)`", PAGE, re.MULTILINE)
    assert len(way) == len(set(way)) <= 25
    assert [path for path in way if not (TOP / path).is_file()] == []


def test_every_place_that_the_page_names_exists() -> None:
    places = re.findall(r"`((?:client|worker|daemon|tests|docs)/[\w./-]+)`", PAGE)
    assert [place for place in places if not (TOP / place).exists()] == []


MODULES = [path for part in ("client", "worker", "daemon") for path in (TOP / part).rglob("*.py")]


def test_no_module_is_too_long_to_be_read_at_once() -> None:
    long = {str(path.relative_to(TOP)): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: lines for name, lines in long.items() if lines > 300} == {}


def test_no_folder_has_more_modules_than_can_be_seen_at_once() -> None:
    counts = Counter(path.parent.relative_to(TOP) for path in MODULES)
    assert {folder: count for folder, count in counts.items() if count > 14} == {}


def test_no_class_name_means_two_things() -> None:
    names = Counter(
        name for path in MODULES for name in re.findall(r"^class ([A-Z]\w*)", path.read_text(), re.MULTILINE)
    )
    assert [name for name, count in names.items() if count > 1] == []
