"""The page of environment variables: those that are settings, and those that are not."""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel

from spacedockd.settings import PREFIX, DaemonSettings

OTHERS = {
    "SPACEDOCK_CONFIG": "The configuration file, for the daemon and for clients that look for its queue",
    "SPACEDOCK_REDIS_URL": "The queue: `redis_url` of the daemon, `--redis` of clients",
    "SPACEDOCK_FILES": "Where the queue's large files are, on this machine: `files`",
    "HF_TOKEN": "The Hub's token of the daemon; Spaces do not get it",
    "HF_ENDPOINT, HF_HUB_OFFLINE": "Another Hub than huggingface.co; `1`: the Hub is asked nothing",
    "DOCKER_HOST": "The engine's address; `containers.docker_host` goes before it",
    "DOCKER_CONFIG": "The folder of `docker login`, instead of `~/.docker`",
    "SSL_CERT_FILE, REQUESTS_CA_BUNDLE, PIP_CERT, CURL_CA_BUNDLE": "A CA bundle, as behind a company's "
    "proxy: builds and Spaces trust it too, unless `images.ca_bundle` names another",
    "HTTP_PROXY, HTTPS_PROXY, NO_PROXY": "The proxy by which the daemon reaches the Hub and image registries",
    "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY": "The keys of a bucket that `files` names",
    "XDG_CONFIG_HOME, XDG_STATE_HOME, XDG_CACHE_HOME, XDG_RUNTIME_DIR, HOME": "Where a user's configuration, "
    "state, models and sockets are",
    "STATE_DIRECTORY, RUNTIME_DIRECTORY, CREDENTIALS_DIRECTORY": "The same from systemd, and secrets of "
    "`LoadCredential=`",
    "NOTIFY_SOCKET, WATCHDOG_PID, WATCHDOG_USEC": "How systemd hears that the daemon is ready and alive",
}
"""Variables that are read besides the settings, and what they say."""

IN_SPACES = {
    "MEMORY, CPU_CORES": "What the container may use (`2Gi`), as on the Hub",
    "SPACEDOCK_PROMPT_FILE, SPACEDOCK_INPUT_DIR, SPACEDOCK_OUTPUT_FILE, SPACEDOCK_OUTPUT_DIR": "Of a "
    "program: where its prompt and files are, and its answer goes ([spaces.md](../spaces.md#programs))",
    "SPACEDOCK_INPUTS": "Of a program: the inputs by name, as JSON; not in privacy mode",
}
"""Variables that a Space's container gets from us, which its program may read."""


def settings(model: type[BaseModel] = DaemonSettings, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Each setting's variable and key."""
    for name, field in model.model_fields.items():
        inner = _section(field.annotation)
        if inner is not None:
            yield from settings(inner, f"{prefix}{name}.")
        else:
            key = f"{prefix}{name}"
            yield PREFIX + key.replace(".", "__").upper(), key


def _section(kind: Any) -> type[BaseModel] | None:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    if get_origin(kind) not in (Union, UnionType):
        return None
    found = [one for one in map(_section, get_args(kind)) if one is not None]
    return found[0] if found else None
