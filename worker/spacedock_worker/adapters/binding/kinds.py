"""Which Gradio components take text, files, numbers or choices, by the type that `/config` gives them."""

from __future__ import annotations

from typing import Any

from spacedock.files import FileRef
from spacedock_worker.adapters.endpoint import Endpoint, InputSlot

MULTIMODAL = "multimodaltextbox"
MASKED = "imagemask"
PAIR = "imageslider"
# A component that somebody wrote, which is sent a string: a text, or perhaps a date or a colour.
TYPED = "typed"
CODE = "code"
TEXT = frozenset({"textbox", "textarea", "text", CODE, "markdown", TYPED, MULTIMODAL})
NUMBER = frozenset({"number", "slider"})
YES_NO = frozenset({"checkbox"})
CHOICE = frozenset({"dropdown", "radio", "checkboxgroup"})
JSON = frozenset({"json"})
TABLE = frozenset({"dataframe"})
UNKNOWN_MEDIA = "application/octet-stream"

# A slot of one kind of media takes only that kind; an empty kind takes any file.
MEDIA = {
    "image": "image/",
    "imageeditor": "image/",
    MASKED: "image/",
    PAIR: "image/",
    "audio": "audio/",
    "video": "video/",
    "gallery": "image/",
    "file": "",
    "uploadbutton": "",
    "model3d": "",
    MULTIMODAL: "",
    "dataframe": "text/",
}
TABLE_SUFFIXES = (".csv", ".tsv")

# What a page consists of beside its contents: to show, hide or name one of these is no answer.
FURNITURE = frozenset({
    "button", "uploadbutton", "row", "column", "group", "accordion", "tab", "tabitem", "tabs", "form",
    "walkthrough", "step", "sidebar", "timer", "dataset", "loginbutton", "duplicatebutton", "clearbutton",
})  # fmt: skip


def gives_answer(endpoint: Endpoint) -> bool:
    """Whether a caller sees anything of what it gives."""
    return any(output is not None and output not in FURNITURE for output in endpoint.outputs)


def takes_text(slot: InputSlot) -> bool:
    """Whether a person would type the prompt there."""
    return slot.component in TEXT


def takes_files(slot: InputSlot) -> bool:
    """Whether a file can be put there."""
    return slot.component in MEDIA


def takes_several(slot: InputSlot) -> bool:
    """Whether more than one file can be put there."""
    return slot.many or slot.component in ("gallery", PAIR, MULTIMODAL)


def blank(slot: InputSlot) -> Any:
    """What a page sends for a box that nobody has filled."""
    if slot.component == MULTIMODAL:
        return {"text": "", "files": []}
    if slot.component == "checkboxgroup" or (slot.many and slot.component in CHOICE):
        return []
    if slot.component in TABLE:
        return {"headers": [], "data": []}
    return "" if takes_text(slot) else None


def is_general(slot: InputSlot) -> bool:
    """Whether the slot takes any medium, or several files: those of one medium are filled first."""
    return not MEDIA.get(slot.component) or takes_several(slot) or slot.component in TABLE


def accepts(slot: InputSlot, file: FileRef) -> bool:
    """Whether that file belongs there, by its media type and the slot's own list of file types.

    A file of unknown type belongs anywhere: the app may know it better than its name says.
    """
    if slot.component in TABLE:
        return is_table(file)
    if file.media_type == UNKNOWN_MEDIA:
        return not slot.accepts or not _dotted(slot.accepts) or _listed(slot.accepts, file)
    return file.media_type.startswith(MEDIA[slot.component]) and (
        not slot.accepts or _listed(slot.accepts, file)
    )


def is_table(file: FileRef) -> bool:
    """Whether a Dataframe takes that file."""
    return file.name.lower().endswith(TABLE_SUFFIXES)


def _dotted(types: tuple[str, ...]) -> bool:
    return all(t.startswith(".") for t in types)


def _listed(types: tuple[str, ...], file: FileRef) -> bool:
    name, kind = file.name.lower(), file.media_type.split("/")[0]
    return any(
        name.endswith(t) if t.startswith(".") else t in ("file", kind, file.media_type, f"{kind}/*")
        for t in types
    )
