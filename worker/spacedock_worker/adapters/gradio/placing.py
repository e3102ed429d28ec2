"""Which file goes into which slot: decided from media types and counts, before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spacedock.files import FileRef
from spacedock_worker.adapters.gradio import kinds
from spacedock_worker.adapters.gradio.description import Slot
from spacedock_worker.adapters.gradio.values import CannotFillError


@dataclass(frozen=True, slots=True)
class Upload:
    """Stands in `data` for the file of that index in the call, until it has been uploaded."""

    index: int


Placement = Mapping[int, tuple[Upload, ...]]


def place(slots: Sequence[Slot], files: Mapping[int, FileRef]) -> Placement:
    """Put every file of `files` (by its index in the call) into a slot; the answer is by slot position.

    Slots of one medium choose first, then a single File slot, then those that take several and with them all
    the rest. Raises CannotFillError where a file is left over.
    """
    left, placed = dict(files), {}
    for slot in sorted(slots, key=lambda s: (kinds.takes_several(s), kinds.is_general(s), s.position)):
        fitting = [index for index, file in left.items() if kinds.accepts(slot, file)]
        # A file of known type is preferred, so that one of unknown type does not take its place.
        fitting.sort(key=lambda index: left[index].media_type == kinds.UNKNOWN_MEDIA)
        taken = sorted(fitting if kinds.takes_several(slot) else fitting[:1])
        if taken:
            placed[slot.position] = tuple(Upload(index) for index in taken)
        for index in taken:
            del left[index]
    if left:
        names = ", ".join(f"{file.name} ({file.media_type})" for file in left.values())
        raise CannotFillError(f"nothing takes {names}")
    return placed


def shape(slot: Slot, uploads: Sequence[Upload], text: str = "") -> Any:
    """What the slot's component is sent for these files (shapes of Gradio 5.50 and 6.31)."""
    if slot.component == kinds.MULTIMODAL:
        return {"text": text, "files": list(uploads)}
    if slot.component == "gallery":
        return [{"image": upload, "caption": None} for upload in uploads]
    if slot.component == "imageeditor":
        return {"background": uploads[0], "layers": [], "composite": uploads[0]}
    if slot.many:
        return list(uploads)
    return {"video": uploads[0], "subtitles": None} if slot.wrapped else uploads[0]


def with_uploaded(value: Any, uploaded: Sequence[Mapping[str, Any]]) -> Any:
    """Replace every Upload within `value` by the file description that the app gave for it."""
    if isinstance(value, Upload):
        return dict(uploaded[value.index])
    if isinstance(value, dict):
        return {key: with_uploaded(item, uploaded) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [with_uploaded(item, uploaded) for item in value]
    return value
