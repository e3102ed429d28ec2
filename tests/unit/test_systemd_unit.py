"""The units, judged by systemd itself; and what `install`, `upgrade` and `uninstall` do with them."""

from __future__ import annotations

import configparser
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from spacedockd.commands.install import (
    Installer,
    ServiceError,
    ServiceHost,
    execute,
    machine_of,
    rendered,
    shipped,
    system_places,
    user_places,
)
from spacedockd.settings import DaemonSettings

FOLDER = Path(__file__).parents[2] / "deploy/systemd"
SERVICES = [path.name for path in FOLDER.glob("*.service")]
EXPOSURE_LIMIT = 2.0
UID = 1000


def version() -> int:
    return machine_of(Path("/opt/spacedock/bin/python"), execute, user=False).systemd


def analysed(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units for this machine's systemd, with a command that exists: a missing one is an error to it."""
    machine = ServiceHost(tmp_path / "bin", version())
    (tmp_path / "bin").mkdir()
    for command in ("spacedock", "spacedockd"):
        (tmp_path / "bin" / command).symlink_to("/bin/true")
    for path in FOLDER.glob("*.[st][ei][rm]*"):
        # systemd wants a template's instance.
        copy = tmp_path / path.name.replace("@", "@moon")
        copy.write_text(rendered(path.name, path.read_text(), machine, system_places(tmp_path)))
    return tmp_path


def service(name: str) -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string((FOLDER / name).read_text())
    return parser["Service"]


def test_systemd_has_no_complaint(installed: Path) -> None:
    units = [str(path) for path in installed.iterdir() if path.suffix in (".service", ".timer")]
    assert len(units) == len(SERVICES) + 1
    done = analysed("verify", *units)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("name", SERVICES)
def test_the_services_are_hardened(installed: Path, name: str) -> None:
    unit = installed / name.replace("@", "@moon")
    done = analysed("security", "--offline=yes", "--no-pager", str(unit))
    level = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert level is not None, done.stdout + done.stderr
    assert float(level[1]) <= EXPOSURE_LIMIT


@pytest.mark.parametrize("name", ["spacedockd.service", "spacedock-worker@.service"])
def test_systemd_is_notified_watches_and_waits_longer_than_the_drain(name: str) -> None:
    unit = service(name)
    assert (unit["Type"], unit["KillMode"]) == ("notify-reload", "mixed")
    # A worker that froze is noticed after 15 s, and may take a minute to start.
    assert float(unit["WatchdogSec"]) > 15 + 60
    assert float(unit["TimeoutStopSec"]) >= DaemonSettings.model_fields["drain_seconds"].default + 20


class Systemd:
    """Notes the commands; `systemctl --version` is answered."""

    def __init__(self, version: int = 257) -> None:
        self.commands: list[str] = []
        self._version = version

    def __call__(self, command: Sequence[str]) -> str:
        self.commands.append(" ".join(command))
        return f"systemd {self._version} ({self._version}.9)\n"


def test_an_install_is_whole_and_a_second_one_changes_nothing(tmp_path: Path) -> None:
    systemd = Systemd()
    places = system_places(tmp_path)
    installer = Installer(ServiceHost(Path("/opt/x/bin"), 257), places, systemd, tmp_path)
    said = list(installer.install())
    assert "ExecStart=/opt/x/bin/spacedockd\n" in (places.units / "spacedockd.service").read_text()
    assert "redis_url: unix:///run/spacedock-queue/redis.sock\n" in places.config.read_text()
    assert (tmp_path / "etc/sysusers.d/spacedock.conf").exists()
    assert systemd.commands == [
        "systemd-sysusers",
        "systemd-tmpfiles --create spacedock.conf",
        "systemctl daemon-reload",
        "systemctl enable --now spacedock-queue.service spacedockd.service",
    ]
    systemd.commands.clear()
    places.config.write_text("max_jobs: 5\n")
    again = list(installer.install())
    assert [line.replace("unchanged", "wrote") for line in again] == said
    assert systemd.commands == ["systemctl enable --now spacedock-queue.service spacedockd.service"]
    assert places.config.read_text() == "max_jobs: 5\n"


def test_an_upgrade_restarts_the_daemon_and_leaves_the_queue(tmp_path: Path) -> None:
    systemd = Systemd()
    old = Installer(ServiceHost(Path("/opt/old/bin"), 257), system_places(tmp_path), systemd, tmp_path)
    with pytest.raises(ServiceError, match="not installed"):
        list(old.upgrade())
    list(old.install())
    systemd.commands.clear()
    new = Installer(ServiceHost(Path("/opt/new/bin"), 257), system_places(tmp_path), systemd, tmp_path)
    assert f"wrote {system_places(tmp_path).units}/spacedockd.service" in list(new.upgrade())
    assert systemd.commands[-1] == "systemctl restart spacedockd.service"
    assert "queue" not in "".join(systemd.commands)


def test_an_uninstall_takes_away_what_it_wrote_alone(tmp_path: Path) -> None:
    places = system_places(tmp_path)
    installer = Installer(ServiceHost(Path("/opt/x/bin"), 257), places, Systemd(), tmp_path)
    list(installer.install())
    own = places.units / "spacedock-nightly.service"
    own.write_text("[Unit]\n")
    said = "\n".join(installer.uninstall())
    assert [path.name for path in places.units.iterdir()] == [own.name]
    assert places.config.exists()
    assert f"{own} was changed by somebody else" in said
    assert "kept" in "\n".join(installer.uninstall())


def test_a_user_has_a_service_of_his_own(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": "/run/user/1000"}
    systemd, places = Systemd(), user_places(env, UID)
    list(Installer(ServiceHost(tmp_path / "venv/bin", 257, user=True), places, systemd).install())
    assert systemd.commands == [
        "systemctl --user daemon-reload",
        "systemctl --user enable --now spacedock-queue.service spacedockd.service",
    ]
    daemon = (places.units / "spacedockd.service").read_text()
    queue = (places.units / "spacedock-queue.service").read_text()
    assert not re.search(r"(?m)^#?(User|StateDirectory|ProtectSystem|LoadCredential|Environment)=", daemon)
    assert "NoNewPrivileges=yes" in daemon
    assert "WantedBy=default.target" in daemon
    assert f"--state-dir {tmp_path}/.local/state/spacedock-queue --runtime-dir" in queue
    assert "unix:///run/user/1000/spacedock-queue/redis.sock" in places.config.read_text()


def test_an_older_systemd_is_told_how_to_reload() -> None:
    told = rendered(
        "spacedockd.service",
        shipped("spacedockd.service"),
        ServiceHost(Path("/opt/x/bin"), 252),
        system_places(Path("/")),
    )
    assert "Type=notify\nExecReload=/bin/kill -HUP $MAINPID\n" in told
    assert "RestartSteps" not in told


def test_commands_in_a_home_are_refused_for_a_system_service() -> None:
    with pytest.raises(ServiceError, match="--user"):
        machine_of(Path("/home/ada/venv/bin/python"), Systemd(), user=False)
    assert machine_of(Path("/home/ada/venv/bin/python"), Systemd(), user=True).user
    with pytest.raises(ServiceError, match="does not run systemd"):
        execute(["no-such-systemctl"])
