"""The `spacedockd` command: the daemon in the foreground, fetching its model ahead, bundles of Spaces."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from spacedock.cli.option_values import check_values
from spacedock.configuration import ConfigError
from spacedock.errors import SpacedockError
from spacedock_worker import light_imports
from spacedockd.model.job import Which

app = typer.Typer(
    name="spacedockd",
    help="Run Spacedock's daemon in the foreground; SIGTERM or Ctrl-C drains and stops it.\n\n"
    "Nothing needs to be configured. See docs/configuration.md for what can be.\n\n"
    "`spacedockd --version` tells the version.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    invoke_without_command=True,
)
model = typer.Typer(help="The model of the system default.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(model, name="model")


@app.callback()
def serve(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", metavar="FILE", help="A YAML configuration file.")
    ] = None,
    state_dir: Annotated[
        Path | None, typer.Option("--state-dir", metavar="DIR", help="Where to keep state.")
    ] = None,
    runtime_dir: Annotated[
        Path | None, typer.Option("--runtime-dir", metavar="DIR", help="Where sockets are.")
    ] = None,
    redis_url: Annotated[
        str | None,
        typer.Option("--redis", metavar="URL", help="A Redis to use in place of the embedded Valkey."),
    ] = None,
) -> None:
    """Serve until stopped."""
    given: dict[str, Any] = {"state_dir": state_dir, "runtime_dir": runtime_dir, "redis_url": redis_url}
    options = {key: value for key, value in given.items() if value is not None}
    if context.invoked_subcommand is not None:
        context.obj = {"config": config, "options": options}
        return
    # Here, because they bring what only a running daemon needs, and --help has to be quick.
    with light_imports():
        from spacedock_worker.logs import configure
        from spacedockd import daemon, settings

    try:
        read = partial(settings.load, config, options, os.environ, os.getuid())
        loaded = read()
        configure(loaded.log_format, loaded.log_level)
        asyncio.run(daemon.run(loaded, os.environ, read))
    except SpacedockError as error:
        raise StartError(f"{error}\n{_MORE}") from error


_MORE = "spacedockd: `spacedock doctor` says what else is wrong here, and how to mend it"


class StartError(SpacedockError):
    """The daemon cannot be started, or had to end."""


@app.command("doctor", short_help="Look at this host, whether or not a daemon runs.")
def doctor(
    context: typer.Context, json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """Look at this host, its Docker Engine and its models as the daemon would find them; it need not run.

    `spacedock doctor` tells the same and how the queue stands.
    """
    # It brings the engine's client.
    from spacedock.cli.commands.doctor import tell
    from spacedockd.commands.doctor import examine

    tell(asyncio.run(examine(**context.obj, env=os.environ, uid=os.getuid())), json=json)


@model.command("fetch")
def fetch(
    which: Annotated[
        Which, typer.Argument(help="auto: SmolLM3 from the Hub, else its small stand-in.")
    ] = "auto",
) -> None:
    """Fetch the model of the system default ahead of its first use."""
    # They bring huggingface_hub, which the daemon itself has no use for.
    from spacedock_worker.logs import configure
    from spacedockd.model.fetch import fetch_command
    from spacedockd.model.gguf import cache_folder

    configure("auto", "warning")
    raise typer.Exit(fetch_command(which, cache_folder(os.environ)))


@app.command("base-image", short_help="Make the base image of Spaces from Debian packages.")
def base_image(
    version: Annotated[str, typer.Argument(metavar="PYTHON", help="Its Python: 3.11 or 3.13.")] = "3.11",
) -> None:
    """Make the base image of Spaces from Debian packages, for a host that reaches no image registry.

    Needs root, mmdebstrap and a Docker Engine, and takes about a minute. Does nothing if the image is there.
    """
    own, checkout = Path(__file__).parent / _BASE_IMAGE, Path(__file__).parents[2] / "deploy" / _BASE_IMAGE
    script = own if own.is_file() else checkout
    raise typer.Exit(subprocess.run(["bash", script, version], check=False).returncode)


_BASE_IMAGE = "base-image.sh"


@app.command("config", short_help="Show, check and describe the configuration.")
def config_command(
    context: typer.Context,
    show: Annotated[
        bool, typer.Option("--show", help="The settings that count here, with secrets hidden.")
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Say whether it can be used.")] = False,
    example: Annotated[
        bool, typer.Option("--example", help="A file with every key and its default.")
    ] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Its JSON Schema, for editors.")] = False,
) -> None:
    """Show the configuration that counts here, check it, or print what it may hold; changes nothing."""
    if show + check + example + schema != 1:
        raise ConfigError("name one of --show, --check, --example and --schema")
    from spacedockd.commands import config

    if example or schema:
        typer.echo(config.example() if example else config.schema())
    else:
        told = config.checked if check else config.in_force
        typer.echo(told(**context.obj, env=os.environ, uid=os.getuid()))


@app.command("queue", short_help="Run the queue's server alone.")
def queue(context: typer.Context) -> None:
    """Run the queue's server alone, in the foreground: its daemons may then come and go (docs/service.md)."""
    from spacedock_worker.logs import configure
    from spacedockd import daemon, settings

    loaded = settings.load(**context.obj, env=os.environ, uid=os.getuid())
    configure(loaded.log_format, loaded.log_level)
    asyncio.run(daemon.run_queue(loaded, os.environ))


User = Annotated[bool, typer.Option("--user", help="The service of this user, by `systemctl --user`.")]


@app.command("install", short_help="Run it as a service of systemd.")
def install(user: User = False) -> None:
    """Write the units of systemd, and start them, now and with the machine; again is safe."""
    _service("install", user)


@app.command("upgrade", short_help="Restart the service by what is installed now.")
def upgrade(user: User = False) -> None:
    """Write the units anew and restart the daemon; the queue runs on, and no job is lost."""
    _service("upgrade", user)


@app.command("uninstall", short_help="Stop the service and remove its units.")
def uninstall(user: User = False) -> None:
    """Stop the service and remove its units; configuration, jobs and results stay."""
    _service("uninstall", user)


def _service(what: str, user: bool) -> None:
    from spacedockd.commands import install

    places = install.user_places(os.environ, os.getuid()) if user else install.system_places(Path("/"))
    machine = install.machine_of(Path(sys.executable), install.execute, user=user)
    for line in getattr(install.Installer(machine, places, install.execute), what)():
        typer.echo(line)


@app.command("bundle", short_help="Write Spaces to a file, for a host without a network.")
def bundle(
    context: typer.Context,
    out: Annotated[Path, typer.Argument(metavar="OUT.tar", help="The file to write.")],
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Spaces of the registry.")],
) -> None:
    """Write Spaces with their images, repositories and caches to a file, for a host without a network."""
    # It brings the engine's client.
    from spacedockd.bundling import bundle_command

    bundle_command(out, names, **context.obj)


@app.command("unbundle", short_help="Take the Spaces of a bundle into this host.")
def unbundle(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="IN.tar", help="A bundle.")],
) -> None:
    """Take the Spaces of a bundle into this host; the bundle is checked before anything is changed."""
    from spacedockd.bundling import unbundle_command

    unbundle_command(file, **context.obj)


def main() -> None:
    """Run the command; an error of ours is one line on standard error and exit code 2."""
    try:
        command = typer.main.get_command(app)
        check_values(sys.argv[1:], command)
        command()
    except SpacedockError as error:
        sys.stderr.write(f"spacedockd: {error}\n")
        sys.exit(2)
