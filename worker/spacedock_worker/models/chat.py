"""What a model is told, and what endpoints say, as far as it is read: untrusted JSON, validated."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, field_validator

from spacedock.files import FileRef, Payload
from spacedock.result import TokenCounts
from spacedock_worker.models.endpoint import ModelEndpoint

Chat = list[dict[str, Any]]
"""Messages as OpenAI's protocol has them."""

MAX_TEXT_BYTES = 32_768
_TEXT_TYPES = frozenset({"application/json", "application/csv", "application/x-ndjson", "application/yaml"})


def refusal(endpoint: ModelEndpoint, files: Iterable[FileRef]) -> str | None:
    """Why the endpoint cannot take these files, for people; None where it can take all of them."""
    for ref in files:
        if is_text(ref):
            if ref.size > MAX_TEXT_BYTES:
                return f"{ref.name} is {ref.size} bytes; a model takes text files of up to {MAX_TEXT_BYTES}"
        elif not ref.media_type.startswith("image/"):
            return f"{endpoint.name} cannot take {ref.media_type} ({ref.name})"
        elif "image" not in endpoint.accepts:
            return f"{endpoint.name} is a text model and cannot take an image ({ref.name})"
    return None


def is_text(ref: FileRef) -> bool:
    """Whether a model can read the file as words."""
    return ref.media_type.startswith("text/") or ref.media_type in _TEXT_TYPES


def messages(prompt: str, files: Iterable[Payload], instruction: str | None) -> Chat:
    """The chat: the instruction as the system's words; text files inside the prompt, images as data URLs."""
    chat: Chat = []
    if instruction:
        chat.append({"role": "system", "content": instruction})
    files = tuple(files)
    words = "\n\n".join([prompt, *(_quoted(file) for file in files if is_text(file.ref))]).strip()
    # A request that no client of ours wrote may hold half of a surrogate pair, which is no UTF-8.
    words = words.encode(errors="replace").decode()
    pictures = [_picture(file) for file in files if not is_text(file.ref)]
    if pictures:
        chat.append({"role": "user", "content": [{"type": "text", "text": words}, *pictures]})
    else:
        chat.append({"role": "user", "content": words})
    return chat


def _quoted(file: Payload) -> str:
    return f"File {file.ref.name}:\n```\n{file.data.decode(errors='replace')}\n```"


def _picture(file: Payload) -> dict[str, Any]:
    data = base64.b64encode(file.data).decode()
    return {"type": "image_url", "image_url": {"url": f"data:{file.ref.media_type};base64,{data}"}}


_NESTED = 4


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Message(_Said):
    """A message whose content is a text, or a list of parts as Mistral and others send it.

    vLLM, llama.cpp and DeepSeek call the thoughts `reasoning_content`, Ollama and OpenRouter `reasoning`.
    """

    content: str | list[Any] | None = None
    thoughts: str = Field("", validation_alias=AliasChoices("reasoning_content", "reasoning", "thinking"))
    refusal: str = ""
    tool_calls: bool = False

    @field_validator("thoughts", "refusal", mode="before")
    @classmethod
    def _is_text(cls, said: Any) -> str:
        return said if isinstance(said, str) else ""

    @field_validator("tool_calls", mode="before")
    @classmethod
    def _is_any(cls, said: Any) -> bool:
        return bool(said)


class _Choice(_Said):
    message: _Message
    finish_reason: str | None = None


class _Usage(_Said):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Completion(_Said):
    """The answer to POST /chat/completions. `tokens` is None where the server counts none."""

    model: str | None = None
    tokens: TokenCounts | None = Field(None, validation_alias="usage")
    choices: tuple[_Choice, ...] = Field(min_length=1)

    @field_validator("tokens", mode="before")
    @classmethod
    def _counted(cls, said: Any) -> TokenCounts | None:
        with suppress(ValidationError):
            usage = _Usage.model_validate(said)
            return TokenCounts(prompt=usage.prompt_tokens, completion=usage.completion_tokens)
        return None

    @property
    def text(self) -> str:
        """The model's words; thoughts that stand between them included."""
        content = self._message.content
        return content if isinstance(content, str) else _joined(content, "text", "output_text", "refusal")

    @property
    def thoughts(self) -> str:
        """The thoughts that the server has told apart itself."""
        parts = self._message.content
        return self._message.thoughts or _joined(None if isinstance(parts, str) else parts, "thinking")

    @property
    def refusal(self) -> str:
        """Why the model gives no answer, in its own words; empty if it says nothing of the kind."""
        return self._message.refusal

    @property
    def wants_tools(self) -> bool:
        """Whether the model asks for tools to be called, which a job has none of."""
        return self._message.tool_calls

    @property
    def cut_off(self) -> bool:
        """Whether the model stopped at its limit of tokens."""
        return self.choices[0].finish_reason in ("length", "max_tokens")

    @property
    def _message(self) -> _Message:
        return self.choices[0].message


def _joined(parts: Any, *kinds: str, depth: int = 0) -> str:
    """The words of the parts of these kinds; a part may be a list of parts itself."""
    if isinstance(parts, str):
        return parts
    if not isinstance(parts, list) or depth == _NESTED:
        return ""
    words = []
    for part in parts:
        if isinstance(part, str):
            words.append(part if "text" in kinds else "")
        elif isinstance(part, dict) and (kind := part.get("type", "text")) in kinds:
            words.append(_joined(part.get(kind) or part.get("text"), "text", depth=depth + 1))
    return "".join(words)
