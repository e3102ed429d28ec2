"""The page about the architecture says what the code holds to."""

from __future__ import annotations

import re
import tomllib
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
