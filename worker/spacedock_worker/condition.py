"""How the worker stands, as it tells its daemon with each sign of life."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

_MOST_CHARS = 500


class Condition(BaseModel):
    """What is wrong with the Docker Engine and with registry.yaml, in words; None where nothing is."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    engine: str | None = None
    registry: str | None = None

    def as_line(self) -> bytes:
        """One line of JSON, short enough to go through a pipe in one piece."""
        short = {name: why and why[:_MOST_CHARS] for name, why in self}
        return self.model_copy(update=short).model_dump_json().encode() + b"\n"


class Conditions:
    """How the worker stands now, for whoever notes it and whoever tells it."""

    now = Condition()
