"""Which of our Spaces, categories and tiers a `model` of OpenAI's API means (pure)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Self

from spacedock.errors import BadRequestError
from spacedock.prepare import hub_id_of
from spacedock.request import SPACE_NAME, Tier

PAGE_PREFIX = "spaces/"
"""How a Hub's Space is written that the registry does not have: `spaces/user/name`, as in its address."""


class ApiRoute(StrEnum):
    """The routes of OpenAI's API that are jobs; Anthropic's messages come as `CHAT`."""

    CHAT = "/v1/chat/completions"
    EMBEDDINGS = "/v1/embeddings"
    IMAGES = "/v1/images/generations"
    EDITS = "/v1/images/edits"
    TRANSCRIPTIONS = "/v1/audio/transcriptions"
    SPEECH = "/v1/audio/speech"


TASKS: Mapping[ApiRoute, str] = MappingProxyType(
    {
        ApiRoute.IMAGES: "text-to-image",
        ApiRoute.EDITS: "image-to-image",
        ApiRoute.TRANSCRIPTIONS: "automatic-speech-recognition",
        ApiRoute.SPEECH: "text-to-speech",
    }
)
"""What a Space must do to answer a route, where the model leaves open which Space it is."""


class UnknownModelError(BadRequestError):
    """The model is no Space, category, tier or alias, and unknown ones are refused."""

    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__(
            f"the model '{model}' is no Space, category, tier or alias here. Name one, give it an alias in "
            "models_as of the configuration, or allow unknown models, which are 'auto'."
        )


class NoSpaceForRouteError(BadRequestError):
    """The model leaves open which Space answers, and no Space here does what the route asks for."""

    def __init__(self, route: ApiRoute, model: str) -> None:
        self.route, self.model = route, model
        task = TASKS.get(route)
        remedy = f"Find one with `spacedock spaces search {task}`, or name" if task else "Name"
        super().__init__(
            f"no Space here is known to answer {route.value}, and the model '{model}' names none. "
            f"{remedy} a Space as the model."
        )


@dataclass(frozen=True, slots=True)
class MeantModel:
    """What a model's name means, as fields of a request; `known` is False where it is taken as `auto`."""

    fields: Mapping[str, Any]
    known: bool = True


@dataclass(frozen=True, slots=True)
class ModelNames:
    """The names that a `model` may have.

    `aliases` are the configuration's `models_as`; `spaces` the registry's names and Hub ids, each with the
    name to ask; `categories` those of the registry; `specialists` the Space that answers a route where the
    model leaves it open. With `strict`, unknown names are refused.
    """

    aliases: Mapping[str, str] = field(default_factory=dict)
    spaces: Mapping[str, str] = field(default_factory=dict)
    categories: frozenset[str] = frozenset()
    specialists: Mapping[ApiRoute, str] = field(default_factory=dict)
    strict: bool = False

    def meant(self, model: str, route: ApiRoute) -> MeantModel:
        """What the name means. Raises UnknownModelError, NoSpaceForRouteError, BadRequestError."""
        given = self.aliases.get(model, model).strip()
        name, known = hub_id_of(given), True
        if name in self.spaces:
            return MeantModel({"space": self.spaces[name]})
        on_hub = name.removeprefix(PAGE_PREFIX)
        if given != on_hub and SPACE_NAME.fullmatch(on_hub):
            return MeantModel({"space": on_hub})
        if name in self.categories:
            return MeantModel({"category": name})
        if name not in set(Tier):
            if self.strict:
                raise UnknownModelError(model)
            name, known = Tier.AUTO, False
        if route is ApiRoute.CHAT:
            return MeantModel({"tier": Tier(name)}, known)
        if route not in self.specialists:
            raise NoSpaceForRouteError(route, model)
        return MeantModel({"space": self.specialists[route]}, known)

    def knows(self, name: str) -> bool:
        """Whether the name is an alias, a Space, a category or a tier."""
        return name in self.aliases or name in self.spaces or name in self.categories or name in set(Tier)

    def dumped(self) -> bytes:
        """The names as JSON, for `loaded`."""
        return json.dumps({**asdict(self), "categories": sorted(self.categories)}).encode()

    @classmethod
    def loaded(cls, raw: bytes) -> Self:
        """The names from JSON."""
        fields = json.loads(raw)
        return cls(**{**fields, "categories": frozenset(fields["categories"])})
