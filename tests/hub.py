"""A double of the Hub's HTTP API, which cannot be reached from here: Spaces, their commits and files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class HubDouble:
    """Spaces by their ids; `asked` are the paths that were asked for."""

    spaces: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def add(self, hub_id: str, sha: str, files: dict[str, str], **said: Any) -> None:
        """A commit of the Space, the newest; `said` is what the Hub says of it besides."""
        space = self.spaces.setdefault(hub_id, {"commits": {}})
        space["commits"][sha] = {name: text.encode() for name, text in files.items()}
        space["about"] = {"id": hub_id, "sha": sha, **said}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer as the Hub does to huggingface_hub."""
        self.asked.append(request.path)
        parts = request.path.strip("/").split("/")
        api = parts[0] == "api"
        hub_id, rest = "/".join(parts[2:4] if api else parts[1:3]), parts[4:] if api else parts[3:]
        space = self.spaces.get(hub_id)
        if space is None:
            return web.Response(status=404, headers={"X-Error-Code": "RepoNotFound"})
        sha = rest[1] if len(rest) > 1 and rest[1] != "main" else space["about"]["sha"]
        if sha not in space["commits"]:
            return web.Response(status=404, headers={"X-Error-Code": "RevisionNotFound"})
        files = space["commits"][sha]
        if not api:
            return _file(files["/".join(rest[2:])], sha)
        if rest[:1] == ["tree"]:
            return web.json_response([_entry(name, files[name]) for name in files])
        siblings = [{"rfilename": name} for name in files]
        return web.json_response(space["about"] | {"sha": sha, "siblings": siblings})


def _entry(name: str, content: bytes) -> dict[str, Any]:
    return {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}


def _file(content: bytes, sha: str) -> web.Response:
    etag = f'"{hashlib.sha1(content).hexdigest()}"'
    return web.Response(body=content, headers={"ETag": etag, "X-Repo-Commit": sha})
