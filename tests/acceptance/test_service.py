"""The service under a real systemd, booted in a container: installed, upgraded, killed, frozen, rebooted.

`make test-systemd` runs it. The machine is Debian's packages, unpacked by mmdebstrap; there is no engine in
it, and the model is a small server of the test's own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
PACKAGES = (
    "systemd,systemd-sysv,dbus,dbus-user-session,libpam-systemd,"
    "python3,python3-venv,procps,libgomp1,ca-certificates"
)
BASE = "spacedock-test/systemd-with-users"
DAEMON, QUEUE = "spacedockd.service", "spacedock-queue.service"
CONFIG = "/etc/spacedock/spacedockd.yaml"
JOBS = 12
SECONDS = 120.0

# Systemd wants a cgroup tree of its own; the host's is of version 1 on some machines.
INIT = """#!/bin/sh
umount -R /sys/fs/cgroup 2>/dev/null
mount -t cgroup2 none /sys/fs/cgroup && exec /sbin/init
"""
WALLS = (
    *("--cap-add=SYS_ADMIN", "--cap-add=SYS_PTRACE", "--cap-add=NET_ADMIN", "--cap-add=AUDIT_WRITE"),
    *("--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined", "--cgroupns=private"),
)
MODEL = """
import http.server, json, time
class Answer(http.server.BaseHTTPRequestHandler):
    def said(self, body):
        raw = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)
    def do_GET(self):
        self.said({"object": "list", "data": [{"id": "slow", "object": "model"}]})
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(2)
        words = {"role": "assistant", "content": "done"}
        self.said({"id": "x", "object": "chat.completion", "created": 1, "model": "slow",
                   "choices": [{"index": 0, "message": words, "finish_reason": "stop"}]})
http.server.ThreadingHTTPServer(("127.0.0.1", 9000), Answer).serve_forever()
"""
MODEL_UNIT = """[Service]
ExecStart=/usr/bin/python3 /model.py
[Install]
WantedBy=multi-user.target
"""
MODELS = "models: [{name: slow, base_url: 'http://127.0.0.1:9000/v1', model: slow}]\n"


def docker(*arguments: str, stdin: str | None = None) -> str:
    done = subprocess.run(["docker", *arguments], input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (arguments, done.stdout, done.stderr)
    return done.stdout.strip()


@dataclass(frozen=True, slots=True)
class Booted:
    """A machine whose first process is systemd."""

    name: str

    def run(self, *command: str) -> str:
        return docker("exec", self.name, *command)

    def write(self, path: str, text: str) -> None:
        docker("exec", "-i", self.name, "sh", "-c", f"cat > {path}", stdin=text)

    def await_up(self) -> None:
        self.until(lambda: "running" in self.asked("systemctl", "is-system-running"))

    def asked(self, *command: str) -> str:
        """What it says, whether or not it succeeds."""
        done = subprocess.run(
            ["docker", "exec", self.name, *command], capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    def until(self, true: object) -> None:
        assert callable(true)
        end = time.monotonic() + SECONDS
        while not true():
            assert time.monotonic() < end, self.asked("journalctl", "--no-pager", "-n", "60")
            # systemd offers nothing to wait on from outside.
            time.sleep(0.2)

    def pid(self, unit: str) -> str:
        return self.asked("systemctl", "show", "--property=MainPID", "--value", unit)

    def child(self, unit: str) -> str:
        """The first child of a unit's main process: the worker, or Valkey."""
        return self.asked("pgrep", "--parent", self.pid(unit)).partition("\n")[0]

    def journal(self, event: str) -> int:
        """How often the daemon has logged the event."""
        return self.asked("journalctl", "--no-pager", "--unit", DAEMON).count(f'"event": "{event}"')

    def batch(self) -> subprocess.Popen[str]:
        """Begin a batch of jobs that take some seconds."""
        prompts = "".join(f"count to {number}\\n" for number in range(JOBS))
        self.run("sh", "-c", f"printf '{prompts}' > /tmp/batch.txt; rm -f /tmp/results.jsonl")
        command = "/opt/spacedock/bin/spacedock batch /tmp/batch.txt --tier fast -o /tmp/results.jsonl"
        begun = subprocess.Popen(
            ["docker", "exec", self.name, *command.split()],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.until(lambda: "running" in self.asked("/opt/spacedock/bin/spacedock", "jobs", "--limit", "3"))
        return begun

    def ended(self, begun: subprocess.Popen[str]) -> None:
        """See that every job of the batch has one result, and succeeded."""
        said, _ = begun.communicate(timeout=SECONDS)
        assert begun.returncode == 0, said
        results = self.run("cat", "/tmp/results.jsonl").splitlines()
        assert len(results) == JOBS
        assert all('"succeeded"' in line for line in results)


def base() -> str:
    """The image of a machine with systemd, made at the first run."""
    if not docker("images", "--quiet", BASE):
        unpacking = ["mmdebstrap", "--mode=root", "--variant=minbase", f"--include={PACKAGES}", "trixie"]
        with subprocess.Popen(unpacking, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as unpacked:
            done = subprocess.run(["docker", "import", "-", BASE], stdin=unpacked.stdout, check=False)
            assert done.returncode == 0
    return BASE


@pytest.fixture(scope="module")
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    """A booted machine with the commands installed from a wheel, and a model that answers slowly."""
    if not request.config.getoption("--all-versions"):
        pytest.skip("it boots a machine, for minutes: make test-systemd")
    if shutil.which("mmdebstrap") is None or os.getuid() != 0:
        pytest.skip("a machine is unpacked by mmdebstrap, as root: apt-get install mmdebstrap")
    folder = tmp_path_factory.mktemp("machine")
    pip = [str(TOP / ".venv/bin/pip"), "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(TOP)]
    subprocess.run(pip, check=True)
    (folder / "init").write_text(INIT)
    (folder / "init").chmod(0o755)
    ca = os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")
    mounts = ("-v", f"{folder}:/given:ro", "-v", f"{ca}:/ca.pem:ro", "--env", "PIP_CERT=/ca.pem")
    name = docker(
        "run", "-d", *WALLS, *mounts, "--tmpfs=/run", "-e", "container=docker", base(), "/given/init"
    )
    booted = Booted(name)
    try:
        booted.await_up()
        booted.run("python3", "-m", "venv", "/opt/spacedock")
        wheel = next(folder.glob("*.whl")).name
        booted.run("/opt/spacedock/bin/pip", "install", "--quiet", f"/given/{wheel}[daemon]")
        booted.write("/model.py", MODEL)
        booted.write("/etc/systemd/system/model.service", MODEL_UNIT)
        booted.run("systemctl", "enable", "--now", "model.service")
        booted.run("/opt/spacedock/bin/spacedockd", "install")
        yield booted
    finally:
        docker("rm", "--force", "--volumes", name)


@pytest.mark.timeout(900)
def test_an_install_runs_and_a_second_one_changes_nothing(machine: Booted) -> None:
    said = machine.run("/opt/spacedock/bin/spacedockd", "install")
    assert "wrote" not in said
    assert said.count("unchanged") == 8
    for unit in (DAEMON, QUEUE):
        assert machine.run("systemctl", "is-active", unit) == "active"
    assert machine.run("stat", "-c", "%U %a", "/var/lib/spacedock") == "spacedock 700"


def test_a_reload_counts_at_once_and_a_broken_file_changes_nothing(machine: Booted) -> None:
    before = machine.run("cat", CONFIG)
    machine.write(CONFIG, f"{before}\n{MODELS}")
    machine.run("systemctl", "reload", DAEMON)
    assert machine.journal("reload.applied") == 1
    machine.write(CONFIG, "models: [")
    machine.run("systemctl", "reload", DAEMON)
    assert machine.journal("reload.refused") == 1
    machine.write(CONFIG, f"{before}\n{MODELS}")
    machine.until(lambda: "slow" in machine.asked("/opt/spacedock/bin/spacedock", "tiers"))
    machine.ended(machine.batch())


def test_the_status_says_what_is_wrong(machine: Booted) -> None:
    machine.until(lambda: "no Docker socket" in machine.asked("systemctl", "status", "--no-pager", DAEMON))


def test_an_upgrade_under_load_loses_no_job_and_leaves_the_queue(machine: Booted) -> None:
    queue, begun = machine.pid(QUEUE), machine.batch()
    machine.run("/opt/spacedock/bin/spacedockd", "upgrade")
    machine.ended(begun)
    assert machine.pid(QUEUE) == queue


@pytest.mark.parametrize("process", ["daemon", "worker", "queue", "valkey"])
def test_a_process_that_is_killed_takes_no_job_along(machine: Booted, process: str) -> None:
    begun, queue = machine.batch(), machine.pid(QUEUE)
    pids = {
        "daemon": lambda: machine.pid(DAEMON),
        "worker": lambda: machine.child(DAEMON),
        "queue": lambda: machine.pid(QUEUE),
        "valkey": lambda: machine.child(QUEUE),
    }
    machine.run("kill", "-KILL", pids[process]())
    machine.ended(begun)
    if process in ("daemon", "worker"):
        assert machine.pid(QUEUE) == queue


def test_a_worker_that_freezes_is_replaced(machine: Booted) -> None:
    frozen = machine.journal("worker.frozen")
    begun = machine.batch()
    machine.run("kill", "-STOP", machine.child(DAEMON))
    machine.ended(begun)
    assert machine.journal("worker.frozen") == frozen + 1


def test_a_daemon_that_freezes_is_restarted_by_its_watchdog(machine: Booted) -> None:
    machine.run("mkdir", "-p", f"/run/systemd/system/{DAEMON}.d")
    machine.write(f"/run/systemd/system/{DAEMON}.d/soon.conf", "[Service]\nWatchdogSec=6\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", DAEMON)
    begun, frozen = machine.batch(), machine.pid(DAEMON)
    machine.run("kill", "-STOP", frozen)
    machine.ended(begun)
    machine.until(lambda: machine.pid(DAEMON) not in ("0", frozen))


def test_a_stop_under_load_and_a_start_lose_no_job(machine: Booted) -> None:
    begun = machine.batch()
    machine.run("systemctl", "stop", DAEMON)
    machine.run("systemctl", "start", DAEMON)
    machine.ended(begun)


def test_a_reboot_loses_no_job(machine: Booted) -> None:
    spacedock = "/opt/spacedock/bin/spacedock"
    jobs = [
        machine.run(spacedock, "run", "--detach", "--tier", "fast", f"count to {number}")
        for number in range(JOBS)
    ]
    docker("restart", "--time", "60", machine.name)
    machine.await_up()
    machine.until(lambda: machine.asked("systemctl", "is-active", DAEMON) == "active")
    assert machine.run(spacedock, "wait", *jobs).count("succeeded") == JOBS


def test_a_user_without_root_has_a_service_of_his_own(machine: Booted) -> None:
    machine.run("useradd", "--create-home", "ada")
    machine.run("loginctl", "enable-linger", "ada")
    number = machine.run("id", "--user", "ada")
    home, runtime = "HOME=/home/ada", f"XDG_RUNTIME_DIR=/run/user/{number}"

    def ada(*command: str) -> str:
        return machine.run("runuser", "--user", "ada", "--", "env", home, runtime, *command)

    machine.until(lambda: "bus" in machine.asked("ls", f"/run/user/{number}"))
    assert "wrote" in ada("/opt/spacedock/bin/spacedockd", "install", "--user")
    assert "wrote" not in ada("/opt/spacedock/bin/spacedockd", "install", "--user")
    ada("systemctl", "--user", "reload", DAEMON)
    assert f"/run/user/{number}/spacedock-queue" in ada("systemctl", "--user", "status", "--no-pager", DAEMON)
    assert "1 alive" in ada("/opt/spacedock/bin/spacedock", "tiers")
    ada("/opt/spacedock/bin/spacedockd", "upgrade", "--user")
    ada("/opt/spacedock/bin/spacedockd", "uninstall", "--user")
    assert "spacedock" not in ada("ls", "/home/ada/.config/systemd/user")


def test_an_uninstall_leaves_configuration_and_jobs(machine: Booted) -> None:
    machine.run("/opt/spacedock/bin/spacedockd", "uninstall")
    assert machine.asked("systemctl", "is-active", DAEMON) == "inactive"
    assert "spacedockd" not in machine.run("ls", "/etc/systemd/system")
    machine.run("test", "-f", CONFIG)
    machine.run("test", "-d", "/var/lib/spacedock-queue/valkey")
