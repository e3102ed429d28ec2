"""What a hostile Space may reach: the world from the open network, and no other Space; from the sealed one
nothing but what this host has on that network's own bridge address.

The daemon's Valkey listens on a Unix socket that no container is given (test_hostile_kernel.py), its model
server on 127.0.0.1, which in a container is the container itself. What the bridge's address reaches are this
host's services that listen on it, or on all addresses, unless a firewall keeps them from the bridge.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.networks import gateway_of

from spacedock.result import Stage
from spacedock_worker.containers.docker.create_body import HOST_NAMES, OWNER_LABEL, SPACE_LABEL
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.settings import ContainerSettings

UNREACHED = {"TimeoutError", "ENETUNREACH", "EHOSTUNREACH", "ECONNREFUSED", "EPERM", "EACCES", "ETIMEDOUT"}
# Blocks that are nobody's in the world (RFC 5737), and a resolver that everybody knows.
WORLD = ["192.0.2.1", "198.51.100.1", "1.1.1.1"]
HERE = "this host"


class Told(asyncio.DatagramProtocol):
    """Answers any datagram."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        self._transport.sendto(HERE.encode(), address)


async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(HERE.encode())
    writer.close()


@asynccontextmanager
async def service(address: str) -> AsyncIterator[int]:
    """A service of this host, over TCP and UDP; its port."""
    server = await asyncio.start_server(tell, address, 0, family=socket.AF_INET)
    port = server.sockets[0].getsockname()[1]
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Told, local_addr=(address, port))
    async with server:
        yield port
    transport.close()


async def docker_bridge(engine: Engine) -> str:
    """An address of this host that is on no network of a Space."""
    async with engine.call(Stage.CALL) as docker:
        found = await (await docker.networks.get("bridge")).show()
    gateway = gateway_of(found)
    # Podman gives this host that address with the first container on that network, which no Space is on.
    return gateway if is_of_this_host(gateway) else own_address()


def is_of_this_host(address: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


async def servers(engine: Engine, settings: ContainerSettings) -> list[tuple[str, int]]:
    """Where the running hostile servers listen."""
    labels = [f"{OWNER_LABEL}={settings.instance_id}", f"{SPACE_LABEL}=hostile-server"]
    async with engine.call(Stage.CALL) as docker:
        found = await docker.containers.list(filters=json.dumps({"label": labels}))
    networks = [net for container in found for net in container["NetworkSettings"]["Networks"].values()]
    return [(network["IPAddress"], 7860) for network in networks]


def own_address() -> str:
    """The address by which this host goes out; where it does not, that of its loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((WORLD[0], 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


async def test_a_sealed_space_reaches_neither_the_world_nor_this_hosts_other_addresses(
    engine, attack
) -> None:
    async with service("0.0.0.0") as port:
        bridge = await docker_bridge(engine)
        there = {"addresses": [(bridge, port)]}
        world = {"addresses": [(bridge, port), (own_address(), port), *((address, 53) for address in WORLD)]}
        # The same service is reached where nothing is sealed: it is there to be reached.
        free = await attack({"connect": there, "send": there})
        got = await attack({"connect": world, "send": world}, sealed=True)
    for way in ("connect", "send"):
        assert free.data["output"][way] == {f"{bridge}:{port}": HERE}
        assert set(got.data["output"][way].values()) <= UNREACHED


async def test_a_sealed_space_has_no_way_out_by_ipv6(attack) -> None:
    got = await attack({"connect": {"addresses": [("2606:4700:4700::1111", 443)]}}, sealed=True)
    assert set(got.data["output"]["connect"].values()) <= {*UNREACHED, "EADDRNOTAVAIL", "EAFNOSUPPORT"}


async def test_a_sealed_space_resolves_no_names(engine, attack) -> None:
    names = ["pypi.org", "huggingface.co", *HOST_NAMES]
    resolvers = [
        ("127.0.0.11", 53),
        ("127.0.0.1", 53),
        (await docker_bridge(engine), 53),
        (own_address(), 53),
    ]
    asked = {"name": names[0], "addresses": resolvers}
    got = await attack({"resolve": {"names": names}, "ask_resolvers": asked}, sealed=True)
    resolved = got.data["output"]["resolve"]
    # Podman tells every container where this host is; a sealed one is told that it is the container itself.
    inward = {"127.0.0.1"} if (await engine.dialect(Stage.CALL)).podman else {"gaierror"}
    assert {resolved.pop(name) for name in HOST_NAMES} == inward
    assert set(resolved.values()) == {"gaierror"}
    # The engine's own resolver may answer, with no address.
    assert set(got.data["output"]["ask_resolvers"].values()) <= {*UNREACHED, 0}


async def test_no_space_reaches_another_by_either_network(engine, settings, attack, serving) -> None:
    async with serving(), serving(sealed=True):
        targets = await servers(engine, settings)
        for sealed in (False, True):
            got = await attack({"connect": {"addresses": targets}}, sealed=sealed)
            reached = got.data["output"]["connect"]
            assert len(reached) == 2
            assert set(reached.values()) <= UNREACHED


async def test_services_on_this_hosts_loopback_are_out_of_reach(engine, attack) -> None:
    async with service("127.0.0.1") as port:
        places = [("127.0.0.1", port), (await docker_bridge(engine), port)]
        for sealed in (False, True):
            got = await attack({"connect": {"addresses": places}}, sealed=sealed)
            assert set(got.data["output"]["connect"].values()) <= UNREACHED


async def test_no_space_can_listen_to_others_or_forge_packets(attack) -> None:
    got = await attack({"open_sockets": {}})
    assert set(got.data["output"]["open_sockets"].values()) == {"EPERM"}
