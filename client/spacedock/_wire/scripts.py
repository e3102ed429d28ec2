"""Lua scripts that are refused as a whole or not at all: Redis rolls nothing back."""

from __future__ import annotations

_NEED = """
local function need(...)
  if not redis.acl_check_cmd(...) then
    local command, key = ...
    error({err = 'NOPERM this user may not ' .. string.lower(command) .. ' ' .. (key or '')})
  end
end
"""
"""Lua: end the script with an error where its user may not call this command."""


def atomic(body: str, *needs: str, when_full: bool = True) -> str:
    """The script that checks the rights of its user before it changes anything, then does `body`.

    Each of `needs` is one command with its arguments, in Lua. A script that frees memory or ends a job runs
    also `when_full`: when the server holds as much as its `maxmemory`.
    """
    flags = "#!lua flags=allow-oom\n" if when_full else ""
    return flags + _NEED + "".join(f"need({need})\n" for need in needs) + body
