"""One conversation with an image registry, by the Registry HTTP API v2: kilobytes, seconds, no blobs."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

import aiohttp

from spacedock.errors import SpacedockError
from spacedock_worker.images.oci.credentials import Credentials
from spacedock_worker.images.oci.manifest import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    ImageManifest,
    Platform,
    read_manifest,
    read_platforms,
)
from spacedock_worker.images.oci.reference import Reference

_PARAMETER = re.compile(r'([a-zA-Z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')


@dataclass(frozen=True, slots=True)
class Challenge:
    """The login that is asked for: by name and password, or by a token of the server at `realm`."""

    scheme: Literal["basic", "bearer"]
    realm: str = ""
    service: str = ""
    scope: str = ""

    def safe_for(self, loopback: bool) -> bool:
        """Whether a password may be sent to `realm`: never in the clear, unless to this machine."""
        parts = urlsplit(self.realm)
        if parts.scheme == "https" and parts.hostname:
            return True
        return loopback and parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")


def read_challenge(header: str) -> Challenge | None:
    """The challenge in the header (RFC 7235, and Docker's token authentication); None where it is another."""
    scheme, _, rest = header.strip().partition(" ")
    if scheme.lower() == "basic":
        return Challenge("basic")
    if scheme.lower() != "bearer":
        return None
    found = {name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(rest)}
    realm = found.get("realm", "")
    if not realm:
        return None
    return Challenge("bearer", realm, found.get("service", ""), found.get("scope", ""))


_CONNECT_SECONDS = 3.0
_MANIFEST_BYTES = 2**20
_TOKEN_BYTES = 2**18
_MOST_NESTS = 20_000
_MAX_TAGS = 1000
_ACCEPT = {"Accept": ", ".join((*MANIFEST_TYPES, *INDEX_TYPES)), "Accept-Encoding": "identity"}
_TAG_LENGTH = 128


class NotAskedError(SpacedockError):
    """The image registry could not be asked, which says nothing about the image."""


class NotThereError(SpacedockError):
    """The image registry says that it has no such image."""


class NotAllowedError(SpacedockError):
    """The image registry refuses the image to this login, or wants one."""


class Description(NamedTuple):
    """What is said of an image: its digest, its manifest for the platform that was asked about (None: it has
    none, or of no kind that is known), and its platforms (empty: it does not say)."""

    digest: str
    manifest: ImageManifest | None
    platforms: tuple[Platform, ...]


class _Answer(NamedTuple):
    status: int
    challenge: Challenge | None
    content: bytes


class RegistryClient:
    """Asks about the images of one name; `credentials` go to its image registry and that one's token server.

    Every method raises NotAskedError, NotThereError or NotAllowedError. Redirects are not followed.
    """

    def __init__(
        self, session: aiohttp.ClientSession, reference: Reference, credentials: Credentials | None
    ) -> None:
        self._session, self._reference, self._credentials = session, reference, credentials
        self._authorization: str | None = None

    async def manifest(self, wanted: str, platform: Platform) -> ImageManifest | None:
        """The manifest of a tag or digest for the platform; None where it is of no kind that is known."""
        for _ in range(2):
            found = read_manifest(await self._get(f"manifests/{wanted}"), platform)
            if not isinstance(found, str):
                return found
            wanted = found
        return None

    async def description(self, wanted: str, platform: Platform) -> Description:
        """All that is to know of a tag or digest in a few kilobytes."""
        content = await self._get(f"manifests/{wanted}")
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        platforms, found = read_platforms(content), read_manifest(content, platform)
        if isinstance(found, str):
            found = read_manifest(await self._get(f"manifests/{found}"), platform)
        if not isinstance(found, ImageManifest):
            return Description(digest, None, platforms)
        if not platforms and found.config:
            try:
                platforms = read_platforms(await self._get(f"blobs/{found.config}"))
            except (NotAskedError, NotThereError, NotAllowedError):
                # Many image registries keep what is no manifest elsewhere, and redirect there.
                platforms = ()
        return Description(digest, found, platforms)

    async def tags(self) -> tuple[str, ...]:
        """The first 1,000 tags, as the image registry lists them."""
        try:
            listed = json.loads(await self._get(f"tags/list?n={_MAX_TAGS}"))["tags"] or ()
            return tuple(str(tag)[:_TAG_LENGTH] for tag in listed[:_MAX_TAGS])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise NotAskedError("its list of tags cannot be read") from error

    async def greet(self) -> None:
        """See that it speaks the API, and takes the login where it wants one."""
        await self._read(f"{self._reference.base_url}/")

    async def _get(self, path: str) -> bytes:
        return await self._read(f"{self._reference.base_url}/{self._reference.name}/{path}")

    async def _read(self, url: str) -> bytes:
        answer = await self._request(url)
        if answer.status == 401 and answer.challenge and self._authorization is None:
            self._authorization = await self._log_in(answer.challenge)
            answer = await self._request(url)
        if answer.status == 200:
            return answer.content
        if answer.status in (401, 403) and (answer.challenge or _speaks(answer.content)):
            raise NotAllowedError("it refuses the image")
        if answer.status == 404 and _speaks(answer.content):
            raise NotThereError("it has no such image")
        raise NotAskedError(f"it answered HTTP {answer.status}")

    async def _request(self, url: str) -> _Answer:
        headers = dict(_ACCEPT)
        if self._authorization:
            headers["Authorization"] = self._authorization
        return await _fetch(self._session, "GET", url, _MANIFEST_BYTES, headers=headers)

    async def _log_in(self, challenge: Challenge) -> str:
        """The Authorization header that answers the challenge."""
        own = self._credentials
        if challenge.scheme == "basic":
            if own is None or own.identity_token:
                raise NotAllowedError("it wants a login")
            return _basic(own)
        if own is not None and not challenge.safe_for(self._reference.loopback):
            raise NotAskedError("its token server is no place for a password")
        answer = await self._ask_token(challenge)
        # OAuth's servers answer 400 to a token that they do not take.
        if answer.status in (401, 403) or (answer.status == 400 and own and own.identity_token):
            raise NotAllowedError("its token server refuses the login")
        try:
            said = json.loads(answer.content)
            token = said.get("token") or said.get("access_token")
        except (ValueError, AttributeError, RecursionError):
            token = None
        if answer.status != 200 or not isinstance(token, str) or not token.isprintable():
            raise NotAskedError(f"its token server gave no token (HTTP {answer.status})")
        return f"Bearer {token}"

    async def _ask_token(self, challenge: Challenge) -> _Answer:
        own = self._credentials
        asked = {"service": challenge.service, "scope": challenge.scope}
        asked = {name: value for name, value in asked.items() if value}
        url, session = challenge.realm, self._session
        if own is not None and own.identity_token:
            form = {
                "grant_type": "refresh_token",
                "client_id": "spacedock",
                "refresh_token": own.identity_token,
            }
            return await _fetch(session, "POST", url, _TOKEN_BYTES, data={**asked, **form})
        headers = {"Authorization": _basic(own)} if own else {}
        return await _fetch(session, "GET", url, _TOKEN_BYTES, params=asked, headers=headers)


@asynccontextmanager
async def asking(
    reference: Reference, credentials: Credentials | None, ca_bundle: Path | None, seconds: float
) -> AsyncIterator[RegistryClient]:
    """A conversation that is over within `seconds`; NotAskedError where it is not."""
    tls = True if reference.loopback else await asyncio.to_thread(_trusting, ca_bundle)
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=tls),
        timeout=aiohttp.ClientTimeout(total=seconds, sock_connect=_CONNECT_SECONDS),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=not reference.loopback,
    )
    try:
        async with asyncio.timeout(seconds) as deadline, session:
            yield RegistryClient(session, reference, credentials)
    except TimeoutError as error:
        if not deadline.expired():
            raise
        raise NotAskedError(f"no answer within {seconds:g} s") from error


async def _fetch(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    limit: int,
    *,
    headers: dict[str, str] | None = None,
    params: dict[str, str] | None = None,
    data: dict[str, str] | None = None,
) -> _Answer:
    """One request; an answer of more than `limit` bytes counts as none."""
    content = bytearray()
    try:
        async with session.request(
            method, url, headers=headers, params=params, data=data, allow_redirects=False
        ) as response:
            async for chunk in response.content.iter_chunked(2**16):
                content += chunk
                if len(content) > limit:
                    raise NotAskedError(f"it answered more than {limit:,} bytes")
            if content.count(b"[") + content.count(b"{") > _MOST_NESTS:
                raise NotAskedError("its answer holds too many lists and objects")
            challenge = read_challenge(response.headers.get("WWW-Authenticate", ""))
            return _Answer(response.status, challenge, bytes(content))
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # Of the error only its kind: some of them show the whole request.
        raise NotAskedError(f"it cannot be reached ({type(error).__name__})") from error


def _basic(credentials: Credentials) -> str:
    pair = f"{credentials.username}:{credentials.password}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _speaks(content: bytes) -> bool:
    """Whether this is an error as the API defines it, not some page of a server in between."""
    try:
        return isinstance(json.loads(content).get("errors"), list)
    except (ValueError, AttributeError, RecursionError):
        return False


def _trusting(ca_bundle: Path | None) -> ssl.SSLContext:
    """The machine's certificates, and those of the CA bundle besides; blocks."""
    context = ssl.create_default_context()
    if ca_bundle is not None:
        try:
            context.load_verify_locations(cafile=ca_bundle)
        except OSError as error:
            raise NotAskedError(f"the CA bundle {ca_bundle} cannot be read") from error
    return context
