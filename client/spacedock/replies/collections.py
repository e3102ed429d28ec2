"""Answers about collections: a file of Spaces to share, and what taking one in would change."""

from __future__ import annotations

from typing_extensions import TypedDict


class ExportReply(TypedDict):
    """A collection as YAML, the Spaces in it, and what was left out of it, in words."""

    text: str
    names: list[str]
    notes: list[str]


class ImportRow(TypedDict):
    """A Space of a collection: `state` is new, changed or same; `fields` says what changes, a line each."""

    name: str
    state: str
    fields: list[str]


class ImportReply(TypedDict):
    """What a collection changes, or why it is `refused` (each reason with file, line and column).

    `seen` names exactly these changes; `applied` says that they were made.
    """

    spaces: list[ImportRow]
    refused: list[str]
    notes: list[str]
    seen: str
    applied: bool
