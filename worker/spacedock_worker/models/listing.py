"""The models that a server lists, how the server stands, and which of its models are asked."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx2
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from spacedock_worker.models.endpoint import ModelEndpoint, in_cloud
from spacedock_worker.models.http import connection, exchange

_CHATS = ("completion", "chat", "text-generation", "text_generation", "tool", "thinking")
# Parts of the names of models that embed, rank, listen, speak, draw or judge.
_OTHER_WORK = re.compile(
    r"embed|rerank|minilm|mpnet|whisper|sentence-transformers|stable-?diffusion|moderation|guard|colbert|wav2vec"
    r"|(?<![a-z0-9])(bge|gte|e5|labse|splade|x?tts\d*|speech|parakeet|kokoro|orpheus|piper|bark|musicgen|sdxl|flux"
    r"|dall-e|(sig)?clip)(?![a-z])"
)
# Whose models a gateway on this machine tells of: LiteLLM and its like hand prompts on to them.
_VENDORS = re.compile(
    r"(openai|anthropic|azure|google|gemini|vertex|bedrock|amazon|aws|cohere|mistralai|groq|x-?ai|openrouter"
    r"|together|fireworks|perplexity|deepinfra|replicate|github|copilot|cloudflare|novita|cerebras|sambanova"
    r"|nebius|moonshot|system$)(?![a-z0-9])(?!.*/)"
)
# What only vendors' models, and routes to them, are called; `openai/gpt-oss-20b` is a model that runs here.
_ELSEWHERE = re.compile(
    r":(free|nitro|floor|online|extended)$"
    r"|^(openrouter|azure(_ai)?|anthropic|bedrock|vertex_ai|gemini|groq|xai|together_ai|fireworks_ai|perplexity"
    r"|deepinfra|replicate|cohere_chat|github|github_copilot|cloudflare|huggingface|sagemaker)/"
    r"|(^|[/.])(gpt-[345](?!\d*all)|chatgpt|o[134](-|$)|claude-|gemini-(\d|pro|flash)|grok-[2-9]|sonar(-|$))"
)
# What gateways tell of each model, and servers of models on this machine do not.
_OWNER_LENGTH = 100
_ROUTES = ("pricing", "top_provider", "providers", "upstream")


class ListedModel(BaseModel):
    """One model of a list, by OpenAI's protocol or by Ollama's own, which tells more."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str = Field(min_length=1, validation_alias=AliasChoices("id", "name", "model"))
    owned_by: Any = None
    remote_host: Any = None
    remote_model: Any = None
    capabilities: frozenset[str] = frozenset()
    routed: bool = False

    @model_validator(mode="before")
    @classmethod
    def _routes(cls, told: Any) -> Any:
        if not isinstance(told, dict):
            return told
        return {**told, "routed": any(told.get(name) for name in _ROUTES)}

    @field_validator("capabilities", mode="before")
    @classmethod
    def _words(cls, told: Any) -> frozenset[str]:
        """Ollama tells a list, Mistral a table of what is so."""
        if isinstance(told, dict):
            told = [name for name, so in told.items() if so is True]
        return frozenset(str(word).lower() for word in told) if isinstance(told, list) else frozenset()

    @property
    def remote(self) -> bool:
        """Whether prompts to it are handed on to another machine."""
        told = bool(self.remote_host or self.remote_model or self.routed)
        owner = str(self.owned_by).lower()[:_OWNER_LENGTH]
        return told or in_cloud(self.id) or is_vendors(self.id) or bool(_VENDORS.match(owner))

    @property
    def chats(self) -> bool:
        """Whether it may be asked: by what is told of it, else by its name."""
        if self.capabilities:
            return any(word.startswith(_CHATS) for word in self.capabilities)
        return not _OTHER_WORK.search(self.id.lower())


def is_vendors(name: str) -> bool:
    """Whether the name is a vendor's model's, or a route's to it: a gateway hands such prompts on."""
    return _ELSEWHERE.search(name.lower()) is not None


class Listing(BaseModel):
    """The answer to GET /models: a list of models."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    object: Literal["list"]
    data: tuple[ListedModel, ...] = ()

    @field_validator("data", mode="before")
    @classmethod
    def _is_list(cls, data: Any) -> Any:
        # Ollama without a model says null.
        return () if data is None else data

    def candidates(self, endpoint: ModelEndpoint, prefers: tuple[str, ...] = ()) -> tuple[str, ...]:
        """The models to ask, one after the other; of a server on the private network only its own."""
        fit = [model.id for model in self.data if model.chats and not (endpoint.local and model.remote)]
        wanted = [name for name in fit if any(name.split(":")[0].endswith(p) for p in prefers)]
        return tuple(dict.fromkeys([*wanted, *fit]))

    def hands_on(self, name: str) -> bool:
        """Whether the model of this name is known to run elsewhere."""
        return (
            in_cloud(name)
            or is_vendors(name)
            or any(model.remote for model in self.data if model.id in (name, f"{name}:latest"))
        )


class _Tags(BaseModel):
    """Ollama's own list."""

    models: tuple[ListedModel, ...]


async def with_tags(http: httpx2.AsyncClient, endpoint: ModelEndpoint, listing: Listing) -> Listing:
    """The list with what Ollama tells besides: which model is another machine's, and what each can do.

    Any other server has no such page, and the list stays as it is. Raises httpx2.HTTPError.
    """
    root = endpoint.base_url.rstrip("/").removesuffix("/v1")
    if endpoint.socket is not None or not endpoint.local:
        return listing
    reply = await exchange(http, "GET", f"{root}/api/tags")
    try:
        tags = _Tags.model_validate_json(reply.body if reply.status == 200 else b"")
    except ValidationError:
        return listing
    known = {model.id: model for model in tags.models}
    return listing.model_copy(update={"data": tuple(_joined(one, known.get(one.id)) for one in listing.data)})


def _joined(listed: ListedModel, told: ListedModel | None) -> ListedModel:
    if told is None:
        return listed
    fields = ("remote_host", "remote_model", "capabilities")
    return listed.model_copy(update={name: getattr(told, name) or getattr(listed, name) for name in fields})


_SHOWN_MODELS = 10
_NAME_LENGTH = 100


@dataclass(frozen=True, slots=True)
class Probe:
    """`state` is "ready", "loading", "resting" (it is loaded at its first use) or "absent"; `why` says more.

    `models` are the names that the endpoint tells, at most 10; `digest` is that of the model's file.
    """

    state: str
    models: tuple[str, ...] = ()
    why: str = ""
    digest: str | None = None


class _State(BaseModel):
    """What the daemon says of its own model server, in a line of JSON."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    state: str
    model: str | None = None
    why: str = ""
    digest: str | None = None


async def probe(endpoint: ModelEndpoint, seconds: float) -> Probe:
    """Look at the endpoint for so long at most; never raises for it.

    The daemon's own model server would be started by any connection: it tells its state on a socket besides.
    """
    try:
        async with asyncio.timeout(seconds):
            if endpoint.state_socket is not None:
                return await _told(endpoint.state_socket)
            return await _listed(endpoint)
    except TimeoutError:
        return Probe("absent", why=f"no answer within {seconds:g} s")


async def _told(socket: Path) -> Probe:
    try:
        reader, writer = await asyncio.open_unix_connection(socket)
        try:
            said = _State.model_validate_json(await reader.readline())
        finally:
            writer.close()
    except (OSError, ValueError) as error:
        return Probe("absent", why=f"the daemon does not tell its state ({type(error).__name__})")
    return Probe(said.state, (said.model,) if said.model else (), said.why, said.digest)


async def _listed(endpoint: ModelEndpoint) -> Probe:
    try:
        async with connection(endpoint) as http:
            reply = await exchange(http, "GET", "models")
            if reply.status != 200:
                loading = reply.status in (429, 502, 503, 504)
                return Probe("loading" if loading else "absent", why=f"HTTP {reply.status}")
            listing = await with_tags(http, endpoint, Listing.model_validate_json(reply.body))
    except httpx2.HTTPError as error:
        return Probe("absent", why=f"it cannot be reached ({type(error).__name__})")
    except ValidationError:
        return Probe("absent", why="it does not speak OpenAI's protocol")
    chatting = listing.candidates(endpoint)
    if not chatting and endpoint.model is None:
        return Probe("absent", why="it lists no chat model that runs there: name one as its `model`")
    names = dict.fromkeys([*chatting, *(model.id for model in listing.data)])
    return Probe("ready", tuple(name[:_NAME_LENGTH] for name in list(names)[:_SHOWN_MODELS]))
