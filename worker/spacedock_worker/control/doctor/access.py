"""What this host may read elsewhere: the Hub, image registries; and here: its state directory."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import closing
from importlib import import_module
from pathlib import Path

from spacedock.replies.doctor import Area, DoctorLine
from spacedock_worker.images.hub_errors import HubError, HubOfflineError, HubRefusedError
from spacedock_worker.images.oci.client import NotAllowedError, NotAskedError, asking
from spacedock_worker.images.oci.credentials import Keyring
from spacedock_worker.images.oci.reference import Reference
from spacedock_worker.images.settings import ImageSettings

HUB = Area("hub")
IMAGES = Area("image registries")
HOST = Area("host")

_SECONDS = 8.0
_TOKEN = "export HF_TOKEN=hf_…  # from https://huggingface.co/settings/tokens"
_PROXY = "export HTTPS_PROXY=http://PROXY:PORT  # or HF_HUB_OFFLINE=1, and start the daemon again"
_LITTLE_STATE = 2**30
_FEW_FILES = 1024


async def hub_line(settings: ImageSettings) -> DoctorLine:
    """Whether the Hub answers, and takes our token."""
    # It brings huggingface_hub, which is loaded once the Hub is asked; in a thread, for the loop's sake.
    await asyncio.to_thread(import_module, "spacedock_worker.hub.client")
    from spacedock_worker.hub.client import HubClient

    with closing(HubClient(settings)) as hub:
        try:
            name = await hub.account(_SECONDS)
        except HubOfflineError:
            return HUB.ok("access", "it is not asked, as configured: images and repositories of it are kept")
        except HubRefusedError as error:
            return HUB.error("access", str(error), _TOKEN)
        except HubError as error:
            return HUB.warning("access", str(error), _PROXY)
    if name is None:
        return HUB.ok("access", "it answers; without a token (HF_TOKEN) private Spaces are not seen")
    return HUB.ok("access", f"it answers, to {name}")


async def registry_line(host: str, settings: ImageSettings) -> DoctorLine:
    """Whether an image registry answers, and takes our login."""
    login = f"docker login {host}"
    if host == settings.hub_registry:
        login += " -u USER  # the password is a token of the Hub; or set HF_TOKEN for the daemon"
    own = await Keyring(settings).find(host)
    try:
        async with asking(Reference(host, ""), own, settings.ca_bundle, _SECONDS) as registry:
            await registry.greet()
    except NotAllowedError as error:
        if own is None:
            return IMAGES.warning(host, f"{error}, and there is none", login)
        return IMAGES.error(host, f"{error}: the login that is kept is not taken", login)
    except NotAskedError as error:
        return IMAGES.warning(host, str(error), _PROXY)
    return IMAGES.ok(host, "it takes our login" if own else "it answers without a login")


async def registry_lines(hosts: Iterable[str], settings: ImageSettings) -> list[DoctorLine]:
    """A line for each image registry."""
    return list(await asyncio.gather(*(registry_line(host, settings) for host in hosts)))


def _can_be_made(folder: Path) -> bool:
    above = next(one for one in folder.parents if one.exists())
    return os.access(above, os.W_OK | os.X_OK)


def state_lines(state: Path, uid: int) -> Iterator[DoctorLine]:
    """Whether the state directory is this user's alone, and has room; and how many files may be open."""
    if not state.exists() and _can_be_made(state):
        yield HOST.ok("state directory", f"{state}: the daemon makes it at its first start")
        return
    try:
        found = state.stat()
        free = shutil.disk_usage(state).free
        writable = os.access(state, os.W_OK | os.X_OK)
    except OSError as error:
        why = f"{state}: {error.strerror}"
        yield HOST.error("state directory", why, f"sudo install -d -m 700 -o $USER {state}")
        return
    if found.st_uid != uid or not writable:
        why = f"{state} belongs to user {found.st_uid}, and the daemon is user {uid}"
        yield HOST.error("state directory", why, f"sudo chown -R {uid} {state}")
    elif stat.S_IMODE(found.st_mode) & 0o077:
        yield HOST.error("state directory", f"{state} is open to other users", f"chmod 700 {state}")
    elif free < _LITTLE_STATE:
        why = f"{state}: {free / 1e6:.0f} MB are free for the queue and its files"
        yield HOST.warning("state directory", why, "spacedock cleanup --older-than 1h")
    else:
        yield HOST.ok("state directory", f"{state} is this user's alone, {free / 1e9:.1f} GB free")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < _FEW_FILES:
        yield HOST.warning("open files", f"{soft} may be open at once", f"ulimit -n {hard}")
