"""What endpoints say, as far as it is read: untrusted JSON, validated."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Model(_Said):
    id: str = Field(min_length=1)


class Listing(_Said):
    """The answer to GET /models: a list of at least one model."""

    object: Literal["list"]
    data: tuple[_Model, ...] = Field(min_length=1)

    def pick(self, prefers: tuple[str, ...] = ()) -> str:
        """The model to ask: the first preferred one that is listed, else the first that can chat."""
        names = [model.id for model in self.data]
        wanted = [name for name in names if any(name.split(":")[0].endswith(p) for p in prefers)]
        # Ollama and Docker Model Runner list embedding models beside the others.
        chatting = [name for name in names if "embed" not in name.lower()]
        return (wanted or chatting or names)[0]


class _Message(_Said):
    content: str | None = None


class _Choice(_Said):
    message: _Message
    finish_reason: str | None = None


class Completion(_Said):
    """The answer to POST /chat/completions."""

    model: str | None = None
    choices: tuple[_Choice, ...] = Field(min_length=1)

    @property
    def text(self) -> str:
        """The model's words, thoughts included."""
        return self.choices[0].message.content or ""

    @property
    def cut_off(self) -> bool:
        """Whether the model stopped at its limit of tokens."""
        return self.choices[0].finish_reason == "length"
