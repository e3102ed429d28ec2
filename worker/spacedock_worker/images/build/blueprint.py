"""What to build from a repository: whose Dockerfile, on which base, named how."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Collection
from dataclasses import dataclass, replace

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.spec import DEFAULT_PORT
from spacedock_worker.errors import StepError
from spacedock_worker.images.build.admission import MAX_BYTES, ForbiddenError, Wants, examine
from spacedock_worker.images.build.context import BuildContext, pack, without_ignored
from spacedock_worker.images.build.dockerfile import (
    CA_NAME,
    REQUIREMENTS,
    BuildStep,
    Recipe,
    anonymous,
    dockerfile,
    dockerfile_text,
    trusting,
)
from spacedock_worker.images.build.features import NO_FEATURES, Features, built_in, check_frontend, features
from spacedock_worker.images.build.flavours import asks_for_full, choose_base
from spacedock_worker.images.build.repository import Repository
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.images.space_card import NOTHING_TO_CALL, RUNNABLE, SpaceCard, read_card

_SLUG_LENGTH = 60
_FULL = "Dockerfile.full"
_DIGEST_LENGTH = 32
"""Of a tag, which names its content: nobody finds another content with the same 128 bits."""


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A build before it runs; a Space's own Dockerfile has no `base` and `words`, but what it `wants`.

    `buildkit` is what in it takes BuildKit, and `secrets` the ids of those that its steps get. `dockerfile`
    is its name in the context. `full` is the same Space on the full flavour of the base, for which its code
    `asks`; without it there is one flavour.
    """

    tag: str
    port: int
    base: str | None
    words: tuple[str, ...]
    context: BuildContext
    base_path: str = ""
    wants: Wants | None = None
    start_seconds: int | None = None
    buildkit: Features = NO_FEATURES
    secrets: frozenset[str] = frozenset()
    dockerfile: str = "Dockerfile"
    full: Blueprint | None = None
    asks: bool = False

    @property
    def flavour(self) -> str:
        """What the image's label says: empty for a Space's own Dockerfile."""
        return "" if self.base is None else "slim" if self.full else "full"

    def tried(self, flavour: str) -> tuple[Blueprint, ...]:
        """What is built in turn until one can be, where the Space's entry says slim, full or auto."""
        if self.full is None or flavour == "slim":
            return (self,)
        return (self.full,) if flavour == "full" or self.asks else (self, self.full)


def draw(
    name: str,
    repository: Repository,
    settings: ImageSettings,
    present: Collection[str],
    secrets: Collection[str] = (),
) -> Blueprint:
    """The blueprint of the Space's image; blocks. `present` are the names of the base images on this host.

    The tag is made from the context's digest, so the same repository gives the same tag; but what a build
    with any of the Space's `secrets` makes is its own. Raises StepError: `unsupported` for a kind of Space
    that has nothing to run here, and for a Dockerfile that asks for what it may not have; `build_failed` for
    a wrong setting.
    """
    card = read_card(repository.text("README.md"))
    sdk = _sdk(card, repository)
    if sdk == "docker":
        extra, wants, takes = _own_dockerfile(card, repository, settings)
        given = frozenset(secrets) & set(takes.secrets)
        _check_secrets(name, takes, given)
        context = pack(extra, without_ignored(repository), prefix="")
        return Blueprint(
            _tag(name, context, buildkit=bool(takes.words), secrets=given),
            card.app_port or DEFAULT_PORT,
            None,
            (),
            context,
            card.base_path or "",
            wants,
            card.startup_seconds,
            takes,
            given,
        )
    return _gradio(name, card, repository, settings, present)


def _gradio(
    name: str, card: SpaceCard, repository: Repository, settings: ImageSettings, present: Collection[str]
) -> Blueprint:
    """One context for both flavours, with a Dockerfile for each."""
    base = choose_base(card.python_version, settings.base_images, present)
    recipe, ca = _recipe(card, base, repository, settings)
    slim = _steps(recipe)
    full = _steps(replace(recipe, full_packages=settings.full_packages))
    extra = {"Dockerfile": dockerfile_text(slim).encode(), _FULL: dockerfile_text(full).encode()}
    context = pack(extra | ({CA_NAME: ca} if ca else {}), repository, prefix="app/")
    drawn = Blueprint(
        _tag(name, context),
        DEFAULT_PORT,
        base,
        _words(slim),
        context,
        card.base_path or "",
        start_seconds=card.startup_seconds,
    )
    on_full = replace(drawn, tag=f"{drawn.tag}-full", words=_words(full), dockerfile=_FULL)
    return replace(drawn, full=on_full, asks=asks_for_full(repository))


def _words(steps: tuple[BuildStep, ...]) -> tuple[str, ...]:
    return (*(step.words for step in steps), "naming the image")


def _sdk(card: SpaceCard, repository: Repository) -> str:
    app = _app_file(card)
    sdk = card.sdk or ("docker" if "Dockerfile" in repository else "gradio")
    if sdk not in RUNNABLE:
        unknown = f"its sdk is '{sdk}', which is not known here; Gradio and Docker Spaces can be run"
        why = NOTHING_TO_CALL.get(sdk, unknown)
    elif sdk == "docker" and "Dockerfile" not in repository:
        why = "its sdk is docker, but the repository has no Dockerfile"
    elif sdk == "gradio" and app not in repository:
        why = f"the repository has no {app}; name the app by `app_file` in its README.md"
    else:
        return sdk
    raise StepError(Stage.BUILD, ErrorKind.UNSUPPORTED, f"this Space cannot be built: {why}.")


def _app_file(card: SpaceCard) -> str:
    return posixpath.normpath(card.app_file or "app.py")


def _recipe(
    card: SpaceCard, base: str, repository: Repository, settings: ImageSettings
) -> tuple[Recipe, bytes | None]:
    ca = _ca(settings)
    recipe = Recipe(
        base=base,
        sdk_version=card.sdk_version,
        app_file=_app_file(card),
        files=[name for name in REQUIREMENTS if name in repository],
        packages=_packages(repository.text("packages.txt")),
        system_packages=settings.system_packages,
        ca=ca is not None,
        oauth=card.oauth,
        extra_index_url=settings.extra_index_url,
    )
    return recipe, ca


def _steps(recipe: Recipe) -> tuple[BuildStep, ...]:
    try:
        return dockerfile(recipe)
    except ValueError as error:
        message = f"this Space cannot be built: {error}. Correct its README.md."
        raise StepError(Stage.BUILD, ErrorKind.UNSUPPORTED, message) from error


def _own_dockerfile(
    card: SpaceCard, repository: Repository, settings: ImageSettings
) -> tuple[dict[str, bytes], Wants, Features]:
    """A Space's Dockerfile, with the CA bundle where builds must trust one; what it wants, and takes."""
    text, ca = repository.text("Dockerfile"), _ca(settings)
    if len(text.encode()) > MAX_BYTES:
        raise forbidden(f"it is longer than {MAX_BYTES // 1024} kB; write a shorter one")
    if ca is not None:
        text = trusting(text)
    if card.oauth:
        text = anonymous(text)
    try:
        # As it is built: what is put in must not change what is read.
        check_frontend(text)
        takes = features(text)
        wants = examine(text, by_buildkit=takes.strict)
        text = built_in(text) if takes.words else text
    except ForbiddenError as error:
        raise forbidden(str(error)) from error
    # What was examined is what is built, even where the repository's Dockerfile is a link.
    files = {"Dockerfile": text.encode()} | ({CA_NAME: ca} if ca is not None else {})
    return files, wants, takes


def _check_secrets(name: str, takes: Features, given: Collection[str]) -> None:
    missing = sorted(one for one, required in takes.secrets.items() if required and one not in given)
    if missing:
        secret = missing[0][:100]
        raise StepError(
            Stage.BUILD,
            ErrorKind.UNSUPPORTED,
            f"this Space's Dockerfile mounts the secret {secret}, and {name} has none of that name for its "
            f"build. Have its entry in registry.yaml on this host say `secrets: [{secret}]`, "
            "without `network: false`, with which a build gets none.",
            ours=True,
        )


def forbidden(why: str) -> StepError:
    """The error for a Dockerfile that asks for what it may not have."""
    return StepError(
        Stage.BUILD, ErrorKind.UNSUPPORTED, f"this Space's Dockerfile is not built here: {why}.", ours=True
    )


def _ca(settings: ImageSettings) -> bytes | None:
    if settings.ca_bundle is None:
        return None
    try:
        return settings.ca_bundle.read_bytes()
    except OSError as error:
        message = (
            f"the CA bundle {settings.ca_bundle} cannot be read ({error}). Correct the setting `ca_bundle`."
        )
        raise StepError(Stage.BUILD, ErrorKind.BUILD_FAILED, message) from error


def _packages(text: str) -> tuple[str, ...]:
    """The words of packages.txt, as HF's builder takes them, without comments."""
    return tuple(word for line in text.splitlines() for word in line.split("#", 1)[0].split())


def _tag(name: str, context: BuildContext, *, buildkit: bool = False, secrets: Collection[str] = ()) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:_SLUG_LENGTH].strip("-") or "app"
    digest = context.digest
    if buildkit:
        # Another Space of the same files, and of a name that reads the same, must not find what has secrets.
        whose = (name, *sorted(secrets)) if secrets else ()
        digest = hashlib.sha256("\0".join(("buildkit", digest, *whose)).encode()).hexdigest()
    return f"spacedock/space-{slug}:{digest[:_DIGEST_LENGTH]}"
