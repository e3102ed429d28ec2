"""Lua scripts in files: what each includes, the rights that it needs, and the names of the keys.

Redis takes nothing back when a script is refused half way. So all calls of `need`, wherever they stand, come
first: they end the script with an error where its user may not call a command. The line `-- include NAME` is
replaced by that file, once, from the script's own folder or from this package's. `#!lua flags=allow-oom`
lets a script run when the server holds as much as its `maxmemory`: those that free memory or end a job.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from spacedock._wire import keys, stream, wire
from spacedock._wire.retention import DEFAULTS, MAX_KEEP_S

_NEED = """\
local function need(...)
  if not redis.acl_check_cmd(...) then
    local command, key = ...
    error({err = 'NOPERM this user may not ' .. string.lower(command) .. ' ' .. (key or '')})
  end
end
"""

_OWN = __package__
_INCLUDE = re.compile(r"-- include (\w+)")
_NAMES: dict[str, str | float] = {
    **{name: value for name, value in vars(keys).items() if name.isupper()},
    "MAX_REQUEST_BYTES": wire.MAX_REQUEST_BYTES,
    "EVENTS_KEPT": stream.KEPT,
    "MAX_KEEP_S": MAX_KEEP_S,
    "KEEP_RESULTS": DEFAULTS.results,
    "KEEP_DEAD": DEFAULTS.dead,
    "KEEP_PRIVATE": DEFAULTS.private,
    "KEEP_EVENTS": DEFAULTS.events,
}


def registered(redis: Redis, name: str, package: str = _OWN, **numbers: float) -> AsyncScript:
    """The script of that name, ready to be called; see `script`."""
    return redis.register_script(script(name, package, **numbers))


@cache
def script(name: str, package: str = _OWN, **numbers: float) -> str:
    """The script `lua/NAME.lua` of the package; it knows the names of keys, and `numbers` by their names."""
    lines = list(_lines(name, package, set()))
    flags = [line for line in lines if line.startswith("#!")]
    needs = [line for line in lines if line.startswith("need(")]
    rest = [line for line in lines if line not in flags and not line.startswith("need(")]
    text = "\n".join([*dict.fromkeys(needs), *rest])
    words = set(re.findall(r"\b[A-Z][A-Z_]+\b", text))
    named = [f"local {word} = {value!r}\n" for word, value in (_NAMES | numbers).items() if word in words]
    return "".join([*(f"{flag}\n" for flag in flags), _NEED, *named, text, "\n"])


def _lines(name: str, package: str, included: set[str]) -> Iterator[str]:
    """The lines of a file with those of what it includes."""
    included.add(name)
    file = files(package) / "lua" / f"{name}.lua"
    if not file.is_file():
        file = files(_OWN) / "lua" / f"{name}.lua"
    for line in file.read_text(encoding="utf-8").splitlines():
        if (found := _INCLUDE.fullmatch(line)) is None:
            yield line
        elif found[1] not in included:
            yield from _lines(found[1], package, included)
