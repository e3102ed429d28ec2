"""The file of the system default's model: what it calls itself, and where it is looked for."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from spacedock.errors import SpacedockError

DEFAULT = "SmolLM3"
SMOLLM3_FILE = "SmolLM3-Q4_K_M.gguf"
STAND_IN_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_MAGIC = b"GGUF"
_QUANTIZATION = re.compile(r"[.-](Q\d\w*|B?F16)$", re.IGNORECASE)


class GgufError(SpacedockError):
    """There is no usable model file; the message says how to get one."""


@dataclass(frozen=True, slots=True)
class Gguf:
    """A model file. `stand_in_for` is the model that it replaces, None where it is the one asked for."""

    path: Path
    name: str
    stand_in_for: str | None = None

    @property
    def label(self) -> str:
        """What the model calls itself in results and logs."""
        return f"{self.name} (stand-in for {self.stand_in_for})" if self.stand_in_for else self.name

    def digest(self) -> str:
        """The SHA-256 of the file, as it is now; blocks. Raises OSError."""
        with self.path.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def cache_folder(env: Mapping[str, str]) -> Path:
    """Where fetched models are kept, shared by every state directory of this user."""
    if given := env.get("XDG_CACHE_HOME"):
        return Path(given) / "spacedock/models"
    return Path(env.get("HOME", "/")) / ".cache/spacedock/models"


def model_of(path: Path) -> Gguf:
    """The model in this file, by the file's name. Raises GgufError where it is no GGUF."""
    check(path)
    name = _QUANTIZATION.sub("", path.stem)
    return Gguf(path, name, DEFAULT if path.name == STAND_IN_FILE else None)


def check(path: Path) -> None:
    """Raise GgufError unless the file can be read and begins as a GGUF does."""
    try:
        with path.open("rb") as file:
            start = file.read(len(_MAGIC))
    except OSError as error:
        raise GgufError(f"{path}: {error.strerror}. Correct smollm.path, or leave it out.") from error
    if start != _MAGIC:
        raise GgufError(f"{path} is not a GGUF file. Delete it, or correct smollm.path.")


def fetched(folders: Iterable[Path], names: Iterable[str] = (SMOLLM3_FILE, STAND_IN_FILE)) -> Gguf | None:
    """The best model that was fetched before: SmolLM3, else its stand-in."""
    folders = tuple(folders)
    for name in names:
        for folder in folders:
            if (folder / name).is_file():
                return model_of(folder / name)
    return None
