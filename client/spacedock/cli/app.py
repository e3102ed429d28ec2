"""The command's entry: its subcommands, its errors on standard error, its exit codes."""

from __future__ import annotations

import gc
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from spacedock.cli import legacy_syntax as seed
from spacedock.cli.exit_codes import INTERRUPTED, USAGE
from spacedock.cli.option_values import check_values
from spacedock.cli.output.text import say
from spacedock.errors import SpacedockError


@dataclass(frozen=True, slots=True)
class Part:
    """A subcommand, or a group of them, by its name in a module of `commands`; loaded when it is used."""

    module: str
    name: str
    short_help: str | None = None


COMMANDS: Mapping[str, Part] = {
    "run": Part("run", "run"),
    "batch": Part("batch", "batch"),
    "jobs": Part("jobs", "list_jobs", "List jobs."),
    "status": Part("jobs", "status"),
    "result": Part("jobs", "result"),
    "wait": Part("jobs", "wait", "Wait for jobs or batches."),
    "results": Part("results", "results", "Fetch the results of a batch."),
    "watch": Part("logs", "watch", "Print events as they come."),
    "cancel": Part("jobs", "cancel", "Cancel jobs or batches."),
    "retry": Part("jobs", "retry", "Submit failed jobs once more."),
    "mcp": Part("mcp", "mcp", "Serve MCP on standard input and output."),
    "logs": Part("logs", "logs", "Show a job's story, or a Space's log."),
    "cleanup": Part("cleanup", "cleanup", "Free what is needed no longer."),
    "tiers": Part("tiers", "tiers", "Show who could answer now, in each tier."),
    "doctor": Part("doctor", "doctor", "Find what keeps jobs from their answers."),
    "page": Part("token", "page", "Open the daemon's page."),
    "token": Part("token", "app"),
    "webhooks": Part("webhooks", "app", "Show, test and repeat webhooks."),
    "hosts": Part("hosts", "app", "Show, pause and resume hosts."),
    "spaces": Part("spaces.app", "app"),
    "pipeline": Part("pipelines.app", "app", "Check, show and run pipelines of Spaces."),
}
"""What the command can do, in the order of its help."""

_HELP = (
    "Run Hugging Face Spaces on your own machines, as durable local batch jobs.\n\n"
    'A prompt needs no subcommand: `spacedock "PROMPT" [OPTIONS]` is `spacedock run`. Actions may be '
    "options: --discover-spaces CATEGORY, --list-spaces, --cleanup-cache, --tier-status.\n\n"
    "Exit codes: 0 all succeeded, 1 some failed, 2 wrong usage or no connection, 3 a batch or several "
    "files with degraded answers, 4 a batch or several files stopped on a host that starts no Space; "
    "130 Ctrl-C, and the jobs go on.\n\n"
    "`spacedock --version` tells the version."
)


class PlainGroup(TyperGroup):
    """A group of commands that says in our words what is wrong with an option's value."""

    def invoke(self, ctx: Any) -> Any:
        """Run what was asked for; typer has some values checked by pydantic, and repeats its words."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            if (faults := getattr(error.__cause__, "errors", None)) and hasattr(error, "message"):
                # Here, because it brings pydantic, and --help has to be quick.
                from spacedock._wire.wire import words_of

                error.message = "; ".join(words_of(fault) for fault in faults())
            raise


def app_of(*names: str) -> typer.Typer:
    """The command with these of its subcommands."""
    app = typer.Typer(
        name="spacedock",
        cls=PlainGroup,
        help=_HELP,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    # With one, typer keeps a single subcommand a subcommand.
    app.callback()(lambda: None)
    for name in names:
        part = COMMANDS[name]
        found = getattr(import_module(f"spacedock.cli.commands.{part.module}"), part.name)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name, short_help=part.short_help)
        else:
            app.command(name, short_help=part.short_help)(found)
    return app


@cache
def _group(*names: str) -> TyperGroup:
    group = typer.main.get_command(app_of(*names))
    assert isinstance(group, TyperGroup)
    return group


def reader() -> TyperCommand:
    """The subcommand that reads a prompt."""
    command = _group("run").commands["run"]
    assert isinstance(command, TyperCommand)
    return command


def _command() -> None:
    args = seed.translated(sys.argv[1:], tuple(COMMANDS), reader)
    # All of them for the help, and for a shell that asks what there is.
    named = args[:1] if args and args[0] in COMMANDS else COMMANDS
    group = _group(*named)
    check_values(args, group)
    gc.enable()
    group(args)


def main() -> None:
    """Run the command; an error of ours is one line on standard error and exit code 2."""
    try:
        _command()
    except SpacedockError as error:
        say(f"spacedock: {error}")
        sys.exit(USAGE)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(USAGE)
    except OSError as error:
        say(f"spacedock: {error}")
        sys.exit(USAGE)
