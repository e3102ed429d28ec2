"""One operation of an API: what a caller sees of it, and where and how each value travels."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from spacedock_worker.adapters.endpoint import Endpoint, InputSlot

JSON = "application/json"
MULTIPART = "multipart/form-data"
FORM = "application/x-www-form-urlencoded"


class Where(StrEnum):
    """The part of the request that holds a value; `body` is the whole of it, `field` one field."""

    PATH = "path"
    QUERY = "query"
    FIELD = "field"
    BODY = "body"


class Written(StrEnum):
    """How a value is written: as it is, a file as text, a text as a list of texts or of chat messages."""

    PLAIN = "plain"
    BASE64 = "base64"
    DATA_URL = "data_url"
    TEXTS = "texts"
    MESSAGES = "messages"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One value of the request: the slot that a caller fills, and the app's own name for it.

    An `optional` one is left out where it has its default, which the app knows best.
    """

    slot: InputSlot
    name: str
    where: Where
    written: Written = Written.PLAIN
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """How to call an endpoint: `path` with {names}, `parameters` by slot position.

    `media_type` is the body's, empty where there is none.
    """

    endpoint: Endpoint
    method: str
    path: str
    parameters: tuple[Parameter, ...]
    media_type: str = ""
    body_required: bool = False
