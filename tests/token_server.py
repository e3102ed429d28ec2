"""A token server as Docker's token authentication has it, whose tokens a real registry checks."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import time
from pathlib import Path
from typing import Any

from aiohttp import BasicAuth, web


class TokenServer:
    """Gives tokens for what `password` opens; signed by a key of its own, made by openssl in `folder`."""

    def __init__(self, folder: Path, password: str, identity: str) -> None:
        self.asked: list[str] = []
        self._password, self._identity = password, identity
        self._key, self.certificate = folder / "key.pem", folder / "cert.pem"
        self_signed(self._key, self.certificate, "IP:127.0.0.1")

    def configuration(self, address: str) -> str:
        """What the registry's configuration says of this server, which listens at `address`."""
        return (
            f"auth: {{token: {{realm: 'http://{address}/token', service: spacedock-test, "
            f"issuer: spacedock-test, rootcertbundle: '{self.certificate}'}}}}\n"
        )

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request for a token."""
        form = await request.post() if request.method == "POST" else request.query
        scope = str(form.get("scope", ""))
        self.asked.append(f"{request.method} {scope}")
        if not self._known(request, form):
            return web.Response(status=401)
        # As Docker Hub does: a token all the same, which opens nothing, for those who say nothing.
        open_to = scope if form.get("refresh_token") or "Authorization" in request.headers else ""
        # OAuth has another word for it than Docker's own way.
        word = "access_token" if request.method == "POST" else "token"
        return web.json_response({word: await asyncio.to_thread(self._token, open_to)})

    def _known(self, request: web.Request, form: Any) -> bool:
        if request.method == "POST":
            return form.get("grant_type") == "refresh_token" and form.get("refresh_token") == self._identity
        header = request.headers.get("Authorization")
        return header is None or BasicAuth.decode(header).password == self._password

    def _token(self, scope: str) -> str:
        kind, name, actions = scope.split(":") if scope else ("repository", "none", "")
        access = {"type": kind, "name": name, "actions": actions.split(",")}
        lines = self.certificate.read_text().splitlines()
        header = {"typ": "JWT", "alg": "RS256", "x5c": ["".join(lines[1:-1])]}
        now = int(time.time())
        claims = {"iss": "spacedock-test", "aud": "spacedock-test", "sub": "user", "jti": str(now)}
        claims |= {"access": [access], "nbf": now - 60, "iat": now, "exp": now + 600}  # type: ignore[dict-item]
        text = ".".join(_encoded(json.dumps(part).encode()) for part in (header, claims))
        sign = ["openssl", "dgst", "-sha256", "-sign", str(self._key)]
        signed = subprocess.run(sign, input=text.encode(), check=True, capture_output=True).stdout
        return f"{text}.{_encoded(signed)}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def self_signed(key: Path, certificate: Path, name: str) -> None:
    """Make a key and a certificate for `name` ("IP:192.0.2.1") that nobody has signed but itself."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=spacedock-test"]
    command += ["-addext", f"subjectAltName={name}", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
