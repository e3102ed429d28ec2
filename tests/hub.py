"""A double of the Hub's HTTP API, which cannot be reached from here: Spaces, their commits and files.

Its shapes are those that huggingface_hub 2.4 reads: info, list (pages by a Link header, expand),
semantic search, models' info, whoami, tree and resolve, errors by X-Error-Code, and RateLimit headers.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

TOKEN = "hf_double"
"""The login that may read what is private or gated."""

PAGE = 10
"""How many Spaces a page of a list has."""

_SEARCH_ONLY = ("ai_short_description", "ai_category", "title", "emoji")
_WINDOW = 300


@dataclass
class HubDouble:
    """Spaces by their ids, and models; `asked` are the paths that were asked for.

    `limited` is after how many seconds it may be asked again (None: now), `broken` how many requests it
    answers by HTTP 503, `held` an event that it waits for before it answers, `odd` what it answers in place
    of JSON, said to be `packed` by gzip, `remaining` how many requests its RateLimit header says are left.
    Lists go on at `elsewhere`. With `dripping` an answer comes byte by byte, and never ends.
    """

    spaces: dict[str, dict[str, Any]] = field(default_factory=dict)
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    limited: int | None = None
    broken: int = 0
    held: asyncio.Event | None = None
    odd: bytes | None = None
    packed: bool = False
    remaining: int = 499
    elsewhere: str | None = None
    dripping: bool = False

    def add(self, hub_id: str, sha: str, files: dict[str, str], **said: Any) -> None:
        """A commit of the Space, the newest; `said` is what the Hub says of it besides."""
        space = self.spaces.setdefault(hub_id, {"commits": {}})
        space["commits"][sha] = {name: text.encode() for name, text in files.items()}
        space["about"] = {"id": hub_id, "sha": sha, **said}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer as the Hub does to huggingface_hub."""
        self.asked.append(request.path)
        if self.dripping:
            return await _dripped(request)
        trouble = await self._trouble()
        answer = trouble or self._answer(request)
        answer.headers["RateLimit"] = (
            f'"api";r={0 if self.limited else self.remaining};t={self.limited or 55}'
        )
        answer.headers["RateLimit-Policy"] = f'"fixed window";"api";q=500;w={_WINDOW}'
        return answer

    async def _trouble(self) -> web.Response | None:
        if self.held is not None:
            await self.held.wait()
        if self.limited is not None:
            return web.json_response({"error": "Too many requests"}, status=429)
        if self.broken > 0:
            self.broken -= 1
            return web.Response(status=503, text="Service Unavailable")
        if self.odd is not None:
            answer = web.Response(body=self.odd, content_type="application/json")
            if self.packed:
                answer.headers["Content-Encoding"] = "gzip"
            return answer
        return None

    def _answer(self, request: web.Request) -> web.Response:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token != TOKEN:
            return _refused(401, None, "Invalid credentials in Authorization header")
        match request.path.strip("/").split("/"):
            case ["api", "whoami-v2"]:
                return web.json_response({"type": "user", "name": "me"}) if token else _refused(401)
            case ["api", "models", *model]:
                return self._model("/".join(model))
            case ["api", "spaces"]:
                return self._list(request, bool(token))
            case ["api", "spaces", "semantic-search"]:
                return self._search(request, bool(token))
            case ["api", "spaces", user, name, *rest]:
                return self._about(f"{user}/{name}", rest, request, bool(token))
            case ["spaces", user, name, "resolve", sha, *path]:
                return self._resolve(f"{user}/{name}", sha, "/".join(path), bool(token))
        return _refused(404, "RepoNotFound")

    def _about(self, hub_id: str, rest: list[str], request: web.Request, known: bool) -> web.Response:
        space = self.spaces.get(hub_id)
        if space is None or (space["about"].get("private") and not known):
            return _refused(404 if known else 401, "RepoNotFound")
        sha = rest[1] if len(rest) > 1 and rest[1] != "main" else space["about"]["sha"]
        if sha not in space["commits"]:
            return _refused(404, "RevisionNotFound")
        files = space["commits"][sha]
        if rest[:1] == ["tree"]:
            if space["about"].get("gated") and not known:
                return _refused(403, "GatedRepo")
            return web.json_response([_entry(name, files[name]) for name in files])
        siblings = [{"rfilename": name} for name in files]
        said = _told(space) | {"sha": sha, "siblings": siblings}
        return web.json_response(_expanded(said, request))

    def _resolve(self, hub_id: str, revision: str, path: str, known: bool) -> web.Response:
        space = self.spaces.get(hub_id)
        if space is None or (space["about"].get("private") and not known):
            return _refused(404 if known else 401, "RepoNotFound")
        if space["about"].get("gated") and not known:
            return _refused(403, "GatedRepo", f"Access to {hub_id} is restricted")
        sha = space["about"]["sha"] if revision == "main" else revision
        if sha not in space["commits"]:
            return _refused(404, "RevisionNotFound")
        if path not in space["commits"][sha]:
            return _refused(404, "EntryNotFound")
        return _file(space["commits"][sha][path], sha)

    def _model(self, model: str) -> web.Response:
        if model not in self.models:
            return _refused(401, "RepoNotFound")
        return web.json_response({"id": model, **self.models[model]})

    def _list(self, request: web.Request, known: bool) -> web.Response:
        query = request.query
        found = [
            space
            for space in self._visible(known)
            if set(query.getall("filter", [])) <= set(space["about"].get("tags") or ())
            and query.get("search", "").lower() in space["about"]["id"].lower()
        ]
        if query.get("sort") == "likes":
            found.sort(key=lambda space: -int(space["about"].get("likes") or 0))
        start, size = int(query.get("cursor", 0)), min(int(query.get("limit", PAGE)), PAGE)
        page = found[start : start + size]
        answer = web.json_response([_expanded(_told(space), request) for space in page])
        if start + size < len(found):
            following = self.elsewhere or request.url.update_query(cursor=str(start + size))
            answer.headers["Link"] = f'<{following}>; rel="next"'
        return answer

    def _search(self, request: web.Request, known: bool) -> web.Response:
        words, sdks = _words(request.query["q"]), request.query.getall("sdk", [])
        rows = []
        for space in self._visible(known):
            about = space["about"]
            if sdks and about.get("sdk") not in sdks:
                continue
            runs = (about.get("runtime") or {}).get("stage", "RUNNING") == "RUNNING"
            if not runs and "includeNonRunning" not in request.query:
                continue
            said = [about["id"], *(str(about.get(key, "")) for key in _SEARCH_ONLY)]
            score = len(words & _words(" ".join(said))) / max(len(words), 1)
            if score:
                rows.append(_row(about) | {"semanticRelevancyScore": round(score, 3)})
        return web.json_response(sorted(rows, key=lambda row: -row["semanticRelevancyScore"]))

    def _visible(self, known: bool) -> Iterable[dict[str, Any]]:
        return [space for space in self.spaces.values() if known or not space["about"].get("private")]


async def _dripped(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    while request.transport is not None and not request.transport.is_closing():
        await answer.write(b" ")
        await asyncio.sleep(0.05)
    return answer


def _told(space: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in space["about"].items() if key not in _SEARCH_ONLY}


def _expanded(said: dict[str, Any], request: web.Request) -> dict[str, Any]:
    """What was asked for by `expand`; with none, all of it."""
    wanted = set(request.query.getall("expand", []))
    return {key: value for key, value in said.items() if not wanted or key == "id" or key in wanted}


def _row(about: dict[str, Any]) -> dict[str, Any]:
    """A row of the semantic search: its keys are partly those of the list, partly its own."""
    kept = ("id", "sdk", "likes", "private", "tags", "runtime", *_SEARCH_ONLY)
    row = {key: about[key] for key in kept if key in about}
    return {"author": about["id"].split("/")[0], "title": about["id"].split("/")[1], "likes": 0} | row


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]{3,}", text.lower()))


def _refused(status: int, code: str | None = None, message: str | None = None) -> web.Response:
    headers = {"X-Error-Code": code, "X-Error-Message": message}
    return web.json_response(
        {"error": message or "Repository not found"},
        status=status,
        headers={key: value for key, value in headers.items() if value},
    )


def _entry(name: str, content: bytes) -> dict[str, Any]:
    return {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}


def _file(content: bytes, sha: str) -> web.Response:
    etag = f'"{hashlib.sha1(content).hexdigest()}"'
    return web.Response(body=content, headers={"ETag": etag, "X-Repo-Commit": sha})
