"""Which file goes into which slot: decided from media types and counts, before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spacedock.files import FileRef
from spacedock_worker.adapters.binding import kinds
from spacedock_worker.adapters.endpoint import InputSlot
from spacedock_worker.adapters.faults import CannotFillError

# One transparent pixel: nothing is drawn on the picture.
BLANK = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABpfZFQAAA"
    "AABJRU5ErkJggg=="
)


@dataclass(frozen=True, slots=True)
class Upload:
    """Stands in what is sent for the file of that index in the call, until it has been uploaded."""

    index: int


Placement = Mapping[int, tuple[Upload, ...]]


def place(slots: Sequence[InputSlot], files: Mapping[int, FileRef]) -> Placement:
    """Put every file of `files` (by its index in the call) into a slot; the answer is by slot position.

    Slots of one medium choose first, then a single File slot, then those that take several and with them all
    the rest. Raises CannotFillError where a file is left over.
    """
    left, placed = dict(files), {}
    for slot in sorted(slots, key=_order):
        if not left:
            break
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


def _order(slot: InputSlot) -> tuple[bool, bool, bool, int]:
    table = slot.component in kinds.TABLE
    return kinds.takes_several(slot), table, kinds.is_general(slot), slot.position


def shape(slot: InputSlot, uploads: Sequence[Upload], text: str = "") -> Any:
    """What the slot's component is sent for these files (Gradio 3.35 to 6.31)."""
    if slot.component == kinds.MULTIMODAL:
        return {"text": text, "files": list(uploads)}
    if slot.component == "gallery":
        return [{"image": upload, "caption": None} for upload in uploads]
    if slot.component == "imageeditor":
        return {"background": uploads[0], "layers": [], "composite": uploads[0]}
    if slot.component == kinds.MASKED:
        return {"image": uploads[0], "mask": BLANK}
    if slot.component == kinds.PAIR:
        return [*uploads, None] if len(uploads) == 1 else list(uploads)
    if slot.many:
        return list(uploads)
    return {**slot.beside, slot.wrapped: uploads[0]} if slot.wrapped else uploads[0]
