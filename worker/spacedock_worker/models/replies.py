"""What endpoints say, as far as it is read: untrusted JSON, validated."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


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
