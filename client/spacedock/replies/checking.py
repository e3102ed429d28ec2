"""Whether what a worker answered is what was asked for."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from spacedock._wire.wire import describe
from spacedock.errors import WireError

T = TypeVar("T")


def checked(kind: type[T], data: object, what: str) -> T:
    """The answer to the call `what`, as it came: fields that this version does not know stay.

    Raises WireError where a field is missing or of another type, as in an answer of another version.
    """
    try:
        _adapter(cast(Hashable, kind)).validate_python(data)
    except ValidationError as error:
        message = f"the worker's answer to '{what}' cannot be read: {describe(error)}"
        raise WireError(f"{message}. Have client and daemon the same version?") from error
    return cast(T, data)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
