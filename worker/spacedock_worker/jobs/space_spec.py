"""What to run for a Space, and how to ask it, from its registry entry and a job (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from spacedock.files import FileRef, Payload
from spacedock.request import OWN_PREFIX, JobRequest, own_id
from spacedock.result import ErrorKind, Stage
from spacedock_worker.adapters.base import AppCall
from spacedock_worker.adapters.detect import Access, AppKind
from spacedock_worker.adapters.gradio.connection import Login
from spacedock_worker.adapters.openapi.template import Template
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.errors import StepError
from spacedock_worker.images.source import Image
from spacedock_worker.registry.entry import SpaceEntry


class OwnSpace(SpaceEntry):
    """A Space whose repository came with its job; its id is `./name@digest`.

    Everything that is kept by a Space's id is therefore its own, whatever Spaces the registry has. It has no
    cache volume: whoever makes up a name would share it.
    """

    own: ClassVar[bool] = True
    cache: Literal[False] = False

    @classmethod
    def of(cls, repository: FileRef) -> Self:
        """The Space of that repository; what it takes and gives shows when it runs."""
        return cls(id=own_id(repository), input_type="unknown", output_type="unknown")

    @property
    def title(self) -> str:
        """Its directory's name."""
        return self.family.removeprefix(OWN_PREFIX)

    @property
    def family(self) -> str:
        """`./name`: the directory, whatever is in it."""
        return self.id.rpartition("@")[0]


def spec_of(
    entry: SpaceEntry, image: Image, secrets: Mapping[str, str] | None = None, *, private: bool = False
) -> ContainerSpec:
    """What to run for the Space."""
    return ContainerSpec(
        space=entry.id,
        # Not every engine finds an image by its digest's name.
        reference=image.id if "@" in image.reference and image.id else image.reference,
        digest=image.digest,
        command=image.command,
        port=image.port,
        base_path=image.base_path if entry.base_path is None else entry.base_path,
        env=entry.env,
        memory=entry.memory,
        cpus=entry.cpus,
        start_timeout=entry.start_timeout,
        asked_start=image.start_timeout,
        calls=entry.calls,
        private=private,
        family=family_of(entry, private=private),
        sealed=private or not entry.network,
        read_only=not entry.writable_root,
        # Where its entry does not say, an app that needs to write there is found out, and remembered.
        fixed_root=entry.writable_root is not None,
        cache=image.cache if entry.cache else None,
        gpu=entry.gpu,
        runtime=entry.runtime,
        secrets=secrets or {},
    )


def family_of(entry: SpaceEntry, *, private: bool) -> str:
    """What the containers that jobs want of the Space have in common; private ones are apart."""
    return f"{entry.family} private" if private else entry.family


def access_of(entry: SpaceEntry) -> Access:
    """How to speak to the Space's app. Raises StepError where its entry cannot be meant so."""
    login = Login(entry.auth.username, entry.auth.password) if entry.auth else None
    kind: AppKind = "auto" if entry.adapter == "command" else entry.adapter
    try:
        template = Template(**entry.operation.model_dump()) if entry.operation else None
    except ValueError as error:
        message = f"{error}. Correct `operation` in the registry entry of {entry.id}."
        raise StepError(Stage.START, ErrorKind.BAD_INPUT, message) from error
    return Access(kind, login, template, entry.direct)


def call_of(entry: SpaceEntry, request: JobRequest, files: tuple[Payload, ...]) -> AppCall:
    """The call; what the job says goes before what the registry entry says."""
    return AppCall(
        prompt=request.prompt,
        files=files,
        inputs={**entry.inputs, **request.inputs},
        endpoint=request.endpoint or entry.endpoint,
        optional=request.optional_inputs,
    )


def unread_call_of(entry: SpaceEntry, request: JobRequest) -> AppCall:
    """The call before its files are read: to see where they go, their names will do."""
    # A table is looked into also where it only finds its place.
    return call_of(entry, request, tuple(Payload(ref, b"1\n") for ref in request.files))
