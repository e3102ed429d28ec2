"""docs/spaces.md on registry.yaml: its example loads, and no field is left out of its table."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.registry.registry import Registry

PAGE = (
    (Path(__file__).parents[2] / "docs/spaces.md")
    .read_text(encoding="utf-8")
    .partition("## registry.yaml")[2]
)


def test_the_example_is_a_registry(tmp_path: Path) -> None:
    path = tmp_path / "registry.yaml"
    path.write_text(PAGE.split("```yaml\n")[1].partition("```")[0])
    snapshot = Registry(path).snapshot()
    assert snapshot.warnings == ()
    assert [entry.id for entry in snapshot.alternates(snapshot.spaces["clip-analysis"])] == ["my-clip"]


def test_the_table_has_every_field_and_no_other() -> None:
    rows = re.findall(r"^\| (`[^|]*`) \|", PAGE, re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(SpaceEntry.model_fields)


def test_the_defaults_are_as_told() -> None:
    told = re.findall(r"^\| (`[^|]*`) \| `?(\w+)`? \|", PAGE, re.MULTILINE)
    values = {name: default for names, default in told for name in re.findall(r"\w+", names)}
    for name in ("category", "input_type", "output_type", "status", "port", "adapter", "direct", "network"):
        assert SpaceEntry(id="a").model_dump()[name] == yaml.safe_load(values[name])
