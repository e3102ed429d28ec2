"""The codec of every message on the wire: JSON with a version; unknown fields are ignored."""

from __future__ import annotations

import json
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from spacedock.errors import WireError

VERSION = 1

Model = TypeVar("Model", bound=BaseModel)


def encode(message: BaseModel) -> bytes:
    """Write a message as JSON; its version stands in the field `v`."""
    body = message.model_dump_json()
    return (f'{{"v":{VERSION}' + ("," if body != "{}" else "") + body[1:]).encode()


def encode_repaired(message: BaseModel) -> bytes:
    """Write a message that may quote an app or a file: half surrogates, which are no UTF-8, are replaced.

    Raises ValueError, TypeError or RecursionError where it is no JSON for another reason.
    """
    try:
        return encode(message)
    except ValueError:
        body = json.dumps({"v": VERSION, **message.model_dump()}, ensure_ascii=False)
        return body.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def decode(kind: type[Model], raw: bytes | str) -> Model:
    """Read a message. Raises WireError where it is not JSON, of an unknown version, or not a `kind`."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise WireError(f"not a {kind.__name__}: not JSON ({error})") from error
    if not isinstance(body, dict) or "v" not in body:
        raise WireError(f"not a {kind.__name__}: no version")
    if body.pop("v") != VERSION:
        raise WireError(
            f"{kind.__name__} of an unknown version: this side speaks version {VERSION}; upgrade it"
        )
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        # Not "from error": a traceback would quote the values, and they may hold prompts.
        raise WireError(f"not a {kind.__name__}: {describe(error)}") from None


def describe(error: ValidationError) -> str:
    """Say in one line what is wrong, without repeating the values (they may hold prompts)."""
    return "; ".join(
        f"{'.'.join(str(part) for part in item['loc'])}: {_reason(item['msg'])}"
        if item["loc"]
        else _reason(item["msg"])
        for item in error.errors(include_url=False, include_input=False)
    )


def _reason(message: str) -> str:
    return message.removeprefix("Value error, ")
