"""`spacedock token|page`: who may use the HTTP door, and its page in the browser."""

from __future__ import annotations

import os
import time
import webbrowser
from typing import Annotated
from urllib.parse import quote

import typer

from spacedock._wire.view.tokens import CODE, CODE_SECONDS, Scope, Token, signed
from spacedock.cli import options
from spacedock.cli.output import table
from spacedock.cli.output.text import printable, say, write, write_json
from spacedock.cli.output.units import ago
from spacedock.cli.preflight import asked
from spacedock.configuration import HttpAddress, http_address
from spacedock.errors import FileUnreadableError

app = typer.Typer(
    help="Show, make and revoke tokens of the HTTP door.", no_args_is_help=True, rich_markup_mode=None
)

_TITLES = ("id", "scope", "created", "name")


@app.command("show")
def show() -> None:
    """Print the token of this host's own user, who may do everything."""
    write(_own()[1])


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What uses it, such as a program or a person.")],
    scope: Annotated[
        Scope,
        typer.Option("--scope", help="read: look; submit: also submit and cancel jobs; operate: everything."),
    ] = Scope.SUBMIT,
    redis: options.Redis = None,
) -> None:
    """Make a token and print it; it is not shown again."""
    write(asked(redis, lambda client: client.tokens.create(name, scope)))


@app.command("list")
def list_tokens(json: options.Json = False, redis: options.Redis = None) -> None:
    """List the tokens that were made."""
    found = asked(redis, lambda client: client.tokens.list())
    if json:
        write_json([one.model_dump(mode="json", exclude={"sha256"}) for one in found])
    elif found:
        rows = [_row(one, ago(max(0.0, time.time() - one.created))) for one in found]
        table.show(_TITLES, rows, cut=False)
    else:
        say("no token was made beside the owner's: `spacedock token create NAME` makes one")


def _row(token: Token, since: str) -> tuple[str, ...]:
    return token.id, token.scope.value, since, token.name


@app.command("revoke")
def revoke(
    name: Annotated[str, typer.Argument(metavar="TOKEN", help="Its id or its name.")],
    redis: options.Redis = None,
) -> None:
    """Take a token back: requests with it are refused from now on."""
    token = asked(redis, lambda client: client.tokens.revoke(name))
    say(printable(f"{token.name} ({token.id}) is revoked"))


def page(
    show_address: Annotated[
        bool, typer.Option("--print", help="Print the address instead; it works once, within a minute.")
    ] = False,
) -> None:
    """Open the daemon's page in the browser."""
    at, secret = _own()
    code = signed(secret, CODE, time.time() + CODE_SECONDS)
    address = f"{at.url}/login?code={quote(code)}"
    if show_address or not webbrowser.open(address):
        write(address)


def _own() -> tuple[HttpAddress, str]:
    at = http_address(os.environ, os.getuid())
    try:
        return at, at.token.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise FileUnreadableError(str(at.token), error.strerror or str(error)) from error
