"""What is said of a host whose engine refuses every container."""

from __future__ import annotations

import pytest

from spacedock.result import ErrorKind
from spacedock_worker.containers.docker.diagnosis import host_fault
from spacedock_worker.jobs.chain import withheld


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        (
            'lookup init binary: could not find "catatonit" in one of [/usr/libexec/podman]',
            "Install catatonit",
        ),
        ('exec: "docker-init": executable file not found in $PATH', "Install docker-init"),
        ("netavark: nftables error: unable to execute nft: No such file", "Install nftables"),
        ("unknown or invalid runtime name: nope", "containers.runtime"),
        ("Unknown runtime specified nope", "containers.runtime"),
        ("OCI runtime create failed: cgroups: cgroup mountpoint does not exist", "cgroups are mounted"),
        ("failed: iptables: No chain/target/match by that name.", "firewall rules"),
        ("OCI runtime create failed: something else", "docker info"),
    ],
)
def test_the_engines_words_lead_to_what_to_do_in_privacy_mode_too(said: str, hint: str) -> None:
    error = host_fault(said)
    assert (error.kind, error.host) == (ErrorKind.START_FAILED, True)
    assert withheld(error) == str(error)
    assert said.rstrip(".") in str(error)
    assert hint in str(error)
