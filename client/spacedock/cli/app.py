"""The command's entry: its subcommands, its errors on standard error, its exit codes."""

from __future__ import annotations

import sys

import typer
from typer.core import TyperCommand, TyperGroup

from spacedock.cli import legacy_syntax as seed
from spacedock.cli.commands import (
    batch,
    cleanup,
    doctor,
    hosts,
    jobs,
    logs,
    mcp,
    results,
    run,
    tiers,
    token,
    webhooks,
)
from spacedock.cli.commands.pipelines.app import app as pipelines
from spacedock.cli.commands.spaces.app import app as spaces
from spacedock.cli.exit_codes import INTERRUPTED, USAGE
from spacedock.cli.output.text import say
from spacedock.errors import SpacedockError

app = typer.Typer(
    name="spacedock",
    help="Run Hugging Face Spaces on your own machines, as durable local batch jobs.\n\n"
    'A prompt needs no subcommand: `spacedock "PROMPT" [OPTIONS]` is `spacedock run`. Actions may be '
    "options: --discover-spaces CATEGORY, --list-spaces, --cleanup-cache, --tier-status.\n\n"
    "Exit codes: 0 all succeeded, 1 some failed, 2 wrong usage or no connection, 3 a batch or several "
    "files with degraded answers, 4 a batch or several files stopped on a host that starts no Space; "
    "130 Ctrl-C, and the jobs go on.\n\n"
    "`spacedock --version` tells the version.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("run")(run.run)
app.command("batch")(batch.batch)
app.command("jobs", short_help="List jobs.")(jobs.list_jobs)
app.command("status")(jobs.status)
app.command("result")(jobs.result)
app.command("wait", short_help="Wait for jobs or batches.")(jobs.wait)
app.command("results", short_help="Fetch the results of a batch.")(results.results)
app.command("watch", short_help="Print events as they come.")(logs.watch)
app.command("cancel", short_help="Cancel jobs or batches.")(jobs.cancel)
app.command("retry", short_help="Submit failed jobs once more.")(jobs.retry)
app.command("mcp", short_help="Serve MCP on standard input and output.")(mcp.mcp)
app.command("logs", short_help="Show a job's story, or a Space's log.")(logs.logs)
app.command("cleanup", short_help="Free what is needed no longer.")(cleanup.cleanup)
app.command("tiers", short_help="Show who could answer now, in each tier.")(tiers.tiers)
app.command("doctor", short_help="Find what keeps jobs from their answers.")(doctor.doctor)
app.command("page", short_help="Open the daemon's page.")(token.page)
app.add_typer(token.app, name="token")
app.add_typer(webhooks.app, name="webhooks", short_help="Show, test and repeat webhooks.")
app.add_typer(hosts.app, name="hosts", short_help="Show, pause and resume hosts.")
app.add_typer(spaces, name="spaces")
app.add_typer(pipelines, name="pipeline", short_help="Check, show and run pipelines of Spaces.")


def _command() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    reader = group.commands["run"]
    assert isinstance(reader, TyperCommand)
    # Not `app()`, which would make all of it a second time.
    group(seed.translated(sys.argv[1:], list(group.commands), reader))


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
