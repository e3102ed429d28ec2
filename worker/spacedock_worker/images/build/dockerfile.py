"""From a Space's card to the Dockerfile of an image like the Hub's own; pins for old Gradios (pure)."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection
from dataclasses import dataclass

from spacedock_worker.images.build.flavours import BESIDE_GRADIO, PYTHON_PACKAGES
from spacedock_worker.images.build.instructions import heredoc_lines

_VERSION = re.compile(r"\d+(?:\.\d+)*[0-9A-Za-z.+!-]*")

_OLD = ("starlette<1", "pydantic<2", "huggingface_hub<1", "httpx<0.28", "numpy<2", "altair<6")

PINS: tuple[tuple[tuple[int, int], tuple[str, ...]], ...] = (
    # Until 3.40 the client's version is open too; its serializers went with 0.7, and changed with 0.3.
    ((3, 38), (*_OLD, "gradio_client<0.3")),
    ((3, 41), (*_OLD, "gradio_client<0.7")),
    ((4, 0), ("starlette<1", "huggingface_hub<1")),
    # From 5.3 on Gradio holds starlette back itself; else its page fails, and it ends after its start.
    ((5, 3), ("starlette<1", "huggingface_hub<1", "pydantic<2.11")),
    ((5, 7), ("huggingface_hub<1", "pydantic<2.11")),
    ((5, 22), ("pydantic<2.11",)),
)
"""Ranges in order, each below the version that it is given with: releases of Gradio leave their dependencies
open upwards, and later ones broke them. What is in no range runs as it is."""


def gradio_packages(sdk_version: str | None) -> tuple[str, ...]:
    """The requirement of Gradio in that version (None: the newest) and what it needs held back.

    Raises ValueError where `sdk_version` is no version.
    """
    if sdk_version is None:
        return ("gradio[oauth,mcp]",)
    if not _VERSION.fullmatch(sdk_version):
        raise ValueError(f"sdk_version {sdk_version!r} is no version")
    numbers = [int(part) for part in re.findall(r"\d+", sdk_version)[:2]]
    release = (numbers[0], numbers[1] if len(numbers) > 1 else 0)
    held = next((pins for below, pins in PINS if release < below), ())
    return (f"gradio{_extras(release)}=={sdk_version}", *held)


def _extras(release: tuple[int, int]) -> str:
    """Signing in with Hugging Face came with 4, and MCP with 5.28; pip warns where there is none."""
    if release < (4, 0):
        return ""
    return "[oauth]" if release < (5, 28) else "[oauth,mcp]"


REQUIREMENTS = ("pre-requirements.txt", "requirements.txt")
HOME = "/home/user"
APP = f"{HOME}/app"
CA_PATH = "/etc/ssl/certs/spacedock-ca.pem"
CA_NAME = "spacedock-ca.pem"
"""The name of the CA bundle in the build context."""

_CA_VARIABLES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_VENV = f"{HOME}/.venv"
_ENVIRONMENT = {
    "HOME": HOME,
    "PATH": f"{_VENV}/bin:{HOME}/.local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "VIRTUAL_ENV": _VENV,
    "LANG": "C.UTF-8",
    "PYTHONUNBUFFERED": "1",
    "SYSTEM": "spaces",
    "GRADIO_SERVER_NAME": "0.0.0.0",
    "GRADIO_NUM_PORTS": "1",
    "GRADIO_ALLOW_FLAGGING": "never",
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a Gradio Space's image is made of.

    `files` are those of `REQUIREMENTS` that the repository has; `packages` the words of its packages.txt;
    `ca` whether the build context holds a CA bundle, `oauth` whether visitors can sign in. `sdk_version` None
    means the newest Gradio. `full_packages` are the Debian packages of the full flavour (None: it is slim).
    """

    base: str
    sdk_version: str | None
    app_file: str
    files: Collection[str]
    packages: tuple[str, ...] = ()
    system_packages: tuple[str, ...] = ()
    full_packages: tuple[str, ...] | None = None
    ca: bool = False
    oauth: bool = False
    extra_index_url: str | None = None


@dataclass(frozen=True, slots=True)
class BuildStep:
    """One instruction, and what it does in words for people; no words where it takes no time."""

    instruction: str
    words: str = ""


def dockerfile(recipe: Recipe) -> tuple[BuildStep, ...]:
    """The instructions in the order that shares most: what all Spaces have first, the app's files last.

    Raises ValueError where the Space's `sdk_version` is no version.
    """
    return (*_foundation(recipe), *_gradio(recipe), *_own_packages(recipe), *_app(recipe))


def dockerfile_text(steps: tuple[BuildStep, ...]) -> str:
    """The Dockerfile itself."""
    return "".join(f"{step.instruction}\n" for step in steps)


def anonymous(text: str) -> str:
    """A Space's own Dockerfile, with what makes its visitors anonymous where they can sign in on the Hub."""
    # A last line that wants to be continued has nothing to go on with.
    return "\n".join((text.rstrip().rstrip("\\"), _ANONYMOUS.instruction, ""))


def _foundation(recipe: Recipe) -> list[BuildStep]:
    """The base, Debian packages that Spaces count on, and a user like the Hub's."""
    steps = [BuildStep(f"FROM {recipe.base}", "taking the base image"), BuildStep("USER root")]
    if recipe.system_packages:
        steps.append(_apt(recipe.system_packages, "installing system packages (0.7 GB, once for this host)"))
    if recipe.full_packages:
        words = "installing compilers and headers, the full base (0.65 GB, once for this host)"
        steps.append(_apt(recipe.full_packages, words))
    user = f"useradd --create-home --home-dir {HOME} --shell /bin/sh --non-unique --uid 1000 user"
    # A volume that is mounted on a folder of the image takes its owner.
    steps.append(
        BuildStep(f"RUN {user} && install -d -o 1000 -g 1000 {HOME} {APP} {HOME}/.cache", "creating the user")
    )
    steps.append(BuildStep(f"ENV {_pairs(_ENVIRONMENT)}"))
    if recipe.ca:
        steps.extend(_TRUST)
    return [*steps, BuildStep("USER 1000"), BuildStep(f"WORKDIR {APP}")]


def trusting(text: str) -> str:
    """A Space's own Dockerfile, with the CA bundle in each of its stages: else its pip knows no proxy."""
    lines: list[str] = []
    in_from = False
    for line, inside in heredoc_lines(text):
        lines.append(line)
        in_from = in_from or (not inside and line.split(maxsplit=1)[:1] in (["FROM"], ["from"], ["From"]))
        if in_from and not line.rstrip().endswith("\\"):
            lines.extend(step.instruction for step in _TRUST)
            in_from = False
    return "\n".join(lines)


def _gradio(recipe: Recipe) -> list[BuildStep]:
    # A virtual environment of the user's: Debian's own Python refuses pip, and some apps call pip at start.
    steps = [BuildStep(f"RUN python3 -m venv {_VENV}", "making a Python environment")]
    if recipe.full_packages is not None:
        words = "installing the Hub's own Python packages (0.4 GB, once for this host)"
        steps.append(BuildStep(f"RUN {_pip(recipe, *PYTHON_PACKAGES)}", words))
    wanted = (*gradio_packages(recipe.sdk_version), *BESIDE_GRADIO)
    words = f"installing Gradio {recipe.sdk_version or '(the newest)'}"
    return [*steps, BuildStep(f"RUN {_pip(recipe, *wanted)}", words)]


def _own_packages(recipe: Recipe) -> list[BuildStep]:
    steps: list[BuildStep] = []
    if recipe.packages:
        steps.append(BuildStep("USER root"))
        # With what they recommend, as on the Hub.
        steps.append(_apt(recipe.packages, "installing packages.txt", recommended=True))
        steps.append(BuildStep("USER 1000"))
    gradio = gradio_packages(recipe.sdk_version)[0]
    for name, beside in zip(REQUIREMENTS, ((), (gradio,)), strict=True):
        if name in recipe.files:
            steps.append(BuildStep(f"COPY app/{name} /tmp/{name}", f"reading {name}"))
            command = _pip(recipe, "-r", f"/tmp/{name}", *beside)
            steps.append(BuildStep(f"RUN {command}", f"installing {name}"))
    return steps


def _app(recipe: Recipe) -> list[BuildStep]:
    return [
        *([_QUEUED] if (recipe.sdk_version or "").startswith("3.") else []),
        BuildStep(f"COPY --chown=1000:1000 app/ {APP}/", "copying the app"),
        *([_ANONYMOUS] if recipe.oauth else []),
        BuildStep(f"CMD {json.dumps(['python', recipe.app_file])}", "finishing"),
    ]


def _apt(packages: tuple[str, ...], words: str, *, recommended: bool = False) -> BuildStep:
    names = " ".join(shlex.quote(name) for name in packages)
    options = "--yes" if recommended else "--yes --no-install-recommends"
    return BuildStep(
        f"RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install {options} "
        f"-- {names} && rm -rf /var/lib/apt/lists/*",
        words,
    )


def _pip(recipe: Recipe, *arguments: str) -> str:
    options = ["--no-cache-dir", "--disable-pip-version-check", "--progress-bar=off"]
    if recipe.extra_index_url:
        options.append(f"--extra-index-url={recipe.extra_index_url}")
    return f"python -m pip install {shlex.join([*options, *arguments])}"


def _pairs(environment: dict[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in environment.items())


# gr.LoginButton ends an app that finds none of these. Nobody can sign in with them: all are anonymous. Of the
# Space's id Gradio concludes that it is on the Hub, and closes the ways past its queue, so no others get it.
_ANONYMOUS = BuildStep(
    "ENV OAUTH_CLIENT_ID=anonymous OAUTH_CLIENT_SECRET=anonymous OAUTH_SCOPES=openid "
    "OPENID_PROVIDER_URL=https://huggingface.co SYSTEM=spaces SPACE_ID=local/space SPACE_HOST=localhost"
)

# On the Hub, Gradio 3 gives every app a queue; elsewhere one that streams without asking for a queue ends at
# start. It knows the Hub by SPACE_ID, with which it would also run every example at each start.
_QUEUED = BuildStep(
    "RUN sed -i 's/self.enable_queue = self.enable_queue is True/"
    "self.enable_queue = self.enable_queue is not False/' "
    f"{_VENV}/lib/python3*/site-packages/gradio/blocks.py",
    "giving the app a queue as the Hub does",
)

_TRUST = (
    BuildStep(f"COPY {CA_NAME} {CA_PATH}", "adding the CA bundle"),
    BuildStep(f"ENV {_pairs(dict.fromkeys(_CA_VARIABLES, CA_PATH))}"),
)
