"""Which version of its API an engine is spoken to in, and which engines are refused."""

from __future__ import annotations

from typing import Any

import pytest

from spacedock_worker.containers.docker.dialect import NEWEST, OLDEST, UnspeakableError, dialect_of
from spacedock_worker.containers.docker.network import has_route_to_nobody, network_body


def said(
    newest: str | None, oldest: str = "1.24", version: str = "1.0", name: str = "Engine"
) -> dict[str, Any]:
    return {
        "Version": version,
        "ApiVersion": newest,
        "MinAPIVersion": oldest,
        "Components": [{"Name": name}],
    }


@pytest.mark.parametrize(
    ("newest", "oldest", "path"),
    [
        ("1.41", "1.12", "v1.41"),
        ("1.45", "1.24", "v1.45"),
        ("1.51", "1.24", "v1.51"),
        # What newer engines leave out must not be missed here.
        ("1.53", "1.44", "v1.51"),
        ("2.0", "1.51", "v1.51"),
    ],
)
def test_the_newest_version_that_was_tried_is_spoken_at_most(newest: str, oldest: str, path: str) -> None:
    assert dialect_of(said(newest, oldest)).path == path


@pytest.mark.parametrize(
    ("newest", "oldest", "words"),
    [
        ("1.40", "1.12", r"Engine 9\.9 speaks API 1\.40, and Spacedock needs 1\.41 or newer.*Upgrade it"),
        ("1.9", "1.9", r"speaks API 1\.9, and Spacedock needs 1\.41"),
        (
            "1.60",
            "1.52",
            r"Engine 9\.9 speaks API 1\.52 and newer, and this Spacedock 1\.51.*Upgrade Spacedock",
        ),
        (None, "1.12", "does not say which API"),
        ("latest", "1.12", "does not say which API"),
    ],
)
def test_an_engine_outside_of_what_was_tried_is_refused_with_what_to_do(
    newest: str | None, oldest: str, words: str
) -> None:
    with pytest.raises(UnspeakableError, match=words):
        dialect_of(said(newest, oldest, version="9.9"))


def test_podman_is_told_from_docker() -> None:
    podman = dialect_of(said("1.41", version="5.4.2", name="Podman Engine"))
    assert (podman.podman, podman.version, podman.path) == (True, "5.4.2", "v1.41")
    assert not dialect_of(said("1.41")).podman
    assert OLDEST <= podman.api <= NEWEST


def test_only_docker_before_25_leads_sealed_containers_to_this_host() -> None:
    assert dialect_of(said("1.41")).leads_to_host
    assert dialect_of(said("1.43")).leads_to_host
    assert not dialect_of(said("1.44")).leads_to_host
    assert not dialect_of(said("1.51")).leads_to_host
    assert not dialect_of(said("1.41", name="Podman Engine")).leads_to_host


def test_a_network_tells_whether_its_route_leads_to_nobody() -> None:
    pool = {"Subnet": "172.19.0.0/16", "Gateway": "172.19.0.1"}
    walled = network_body("n", sealed=True, pool=pool, walled=True)
    assert walled["IPAM"]["Config"][0]["AuxiliaryAddresses"] == {"DefaultGatewayIPv4": "172.19.255.254"}
    assert has_route_to_nobody(walled)
    assert not has_route_to_nobody(network_body("n", sealed=True))
    assert not has_route_to_nobody(network_body("n", sealed=True, pool=pool))
    assert not has_route_to_nobody({"IPAM": {"Config": None}})
    assert not has_route_to_nobody({"IPAM": {"Config": [{"Subnet": "x"}]}})
