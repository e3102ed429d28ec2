"""Why an endpoint cannot be filled."""

from __future__ import annotations


class CannotFillError(Exception):
    """A slot cannot be filled; the message says which and what would do."""
