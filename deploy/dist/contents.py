"""Compare what the wheel and the source archive hold with what git knows: nothing lacks, nothing is besides.

Called with the folder of both; exits with 1 and the differences.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterable
from pathlib import Path

_WHEEL = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
_PACKAGES = {folder: Path(folder).name for folder in _WHEEL["packages"]} | _WHEEL["force-include"]
"""Where a folder or a file of the repository lies in the wheel."""

_METADATA = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}
_SHIPPED = (
    "client",
    "worker",
    "daemon",
    "deploy",
    "docs",
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
    "pyproject.toml",
)


def main(folder: Path) -> None:
    """Check the one wheel and the one source archive of the folder."""
    (wheel,), (archive,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as held:
        _compare(wheel, _wanted_in_wheel("-".join(wheel.name.split("-")[:2])), held.namelist())
    with tarfile.open(archive) as source:
        names = [name.partition("/")[2] for name in source.getnames()]
        _compare(archive, {*_tracked(*_SHIPPED), "PKG-INFO", ".gitignore"}, names)


def _wanted_in_wheel(name: str) -> set[str]:
    packed = {
        place + path.removeprefix(folder) for folder, place in _PACKAGES.items() for path in _tracked(folder)
    }
    return packed | {f"{name}.dist-info/{file}" for file in _METADATA}


def _tracked(*paths: str) -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *paths], check=True, capture_output=True, text=True
    )
    return [path for path in listed.stdout.split("\0") if path]


def _compare(file: Path, wanted: set[str], held: Iterable[str]) -> None:
    found = set(held)
    lines = [f"lacks {name}" for name in sorted(wanted - found)]
    lines += [f"holds {name}, which git does not know there" for name in sorted(found - wanted)]
    if lines:
        sys.exit("\n".join(f"dist: {file.name} {line}" for line in lines))
    sys.stdout.write(f"dist: {file.name} holds its {len(found)} files, {file.stat().st_size / 1e6:.1f} MB\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
