"""Addresses of Spaces on the Hub, as they are copied from a browser (pure)."""

from __future__ import annotations

import re

from spacedock.errors import BadRequestError

_URL = re.compile(r"(?:https?://|(?:www\.)?(?:huggingface\.co|hf\.co)/)", re.IGNORECASE)
_PAGE = re.compile(
    r"(?:https?://)?[^/\s?#]+/spaces/([A-Za-z0-9][\w.-]*)/([A-Za-z0-9][\w.-]*)(?:[/?#].*)?", re.IGNORECASE
)
_APP = re.compile(r"https?://[a-z0-9-]+(?:\.static)?\.hf\.space(?:[:/?#].*)?", re.IGNORECASE)


def hub_id_of(space: str) -> str:
    """The Hub id (user/space) of a Space that is given by its page's address; any other name as it is.

    Raises BadRequestError for an address that is not a Space's page.
    """
    text = space.strip()
    if not _URL.match(text):
        return space
    if found := _PAGE.fullmatch(text):
        return f"{found[1]}/{found[2]}"
    if _APP.fullmatch(text):
        raise BadRequestError(
            f"'{text}' is where a Space runs, which does not tell its id. Give its page's address "
            "(https://huggingface.co/spaces/user/space), or its id (user/space)."
        )
    raise BadRequestError(
        f"'{text}' is no Space's page: that is https://huggingface.co/spaces/user/space, in short user/space"
    )
