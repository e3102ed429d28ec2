"""`spacedock webhooks`: what was sent of jobs and batches that ended, a test, and sending again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Annotated

import typer

from spacedock._wire.view.webhooks import WebhookDelivery
from spacedock.cli import options
from spacedock.cli.exit_codes import FAILED
from spacedock.cli.output import table
from spacedock.cli.output.text import printable, say, write, write_json
from spacedock.cli.output.units import age, ago
from spacedock.cli.preflight import asked
from spacedock.client import Client

app = typer.Typer(
    help="Show, test and repeat the webhooks of --callback.", no_args_is_help=True, rich_markup_mode=None
)

_TITLES = ("id", "type", "state", "tries", "last try", "next try", "made", "to")
_LOOKS, _LOOK_SECONDS = 240, 0.25


@app.command("list")
def list_webhooks(json: options.Json = False, redis: options.Redis = None) -> None:
    """List the webhooks of the last week, the newest first."""
    found = asked(redis, lambda client: client.webhooks.list())
    if json:
        write_json([one.model_dump(mode="json") for one in found])
    elif found:
        table.show(_TITLES, [_row(one, time.time()) for one in found], cut=False)
    else:
        say("no webhook was sent: `spacedock run PROMPT --callback URL` asks for one")


def _row(one: WebhookDelivery, now: float) -> tuple[str, ...]:
    due = f"in {age(max(0.0, one.due - now))}" if one.due is not None else ""
    made = ago(max(0.0, now - one.created))
    return one.id, one.type, one.state, str(one.tries), one.said, due, made, one.url


@app.command("test")
def send_test(
    url: Annotated[str, typer.Argument(metavar="URL", help="The receiver's address.")],
    redis: options.Redis = None,
) -> None:
    """Send a test to a receiver, and say what came of it."""
    _end(asked(redis, lambda client: _tried(client, client.webhooks.test(url))))


@app.command("redeliver")
def redeliver(
    webhook: Annotated[str, typer.Argument(metavar="ID", help="The webhook's id, as `list` shows it.")],
    redis: options.Redis = None,
) -> None:
    """Send a webhook again, whatever came of it before, and say what came of it."""
    _end(asked(redis, lambda client: _tried(client, client.webhooks.redeliver(webhook))))


@app.command("secret")
def secret(redis: options.Redis = None) -> None:
    """Print the secret by which receivers verify webhooks."""
    write(asked(redis, lambda client: client.webhooks.secret()))


async def _tried(client: Client, sent: Awaitable[str]) -> WebhookDelivery:
    """The webhook once it was tried, or after a minute."""
    found = await client.webhooks.find(await sent)
    for _ in range(_LOOKS):
        if found.tries:
            break
        await asyncio.sleep(_LOOK_SECONDS)
        found = await client.webhooks.find(found.id)
    return found


def _end(one: WebhookDelivery) -> None:
    said = one.said or "no daemon has sent it yet: is one running?"
    say(printable(f"{one.id} to {one.url}: {said}"))
    if one.state != "delivered":
        raise typer.Exit(FAILED)
