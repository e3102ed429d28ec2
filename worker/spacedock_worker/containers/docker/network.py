"""The bridge networks of Spaces' containers, with and without a way out; none between containers."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping
from hashlib import sha256
from ipaddress import IPv4Network, ip_network
from itertools import islice
from pathlib import Path
from typing import Any

import structlog

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.docker.create_body import OWNER_LABEL
from spacedock_worker.containers.docker.engine import Engine, EngineRefusedError
from spacedock_worker.errors import StepError, full_disk, tells_full_disk

log = structlog.get_logger()

_LABEL = "io.spacedock.network"
_CONFLICT = 409
_ROUTE = "DefaultGatewayIPv4"

_NO_ADDRESSES = ("overlap", "address pool")
"""What engines say when their address pools are used up, or when another network has just taken a subnet."""

_TRIES = 8
"""How many subnets of our own choice the engine is asked for: others may choose at the same time."""


class Network:
    """One daemon's bridge, by its name; `sealed` ones have no way out, and no way in by published ports.

    `owner` is set for a network of a single container: it names the daemon, whose next start removes it.
    Engines make two networks of one name when two ask at once, and then refuse to use either: so each daemon
    has names of its own, and one of its starts at a time looks.
    """

    def __init__(self, engine: Engine, name: str, *, sealed: bool = False, owner: str | None = None) -> None:
        self._engine = engine
        self.name = name
        self._sealed = sealed
        self._labels = {_LABEL: "1"} if owner is None else {_LABEL: "1", OWNER_LABEL: owner}
        self._looking = asyncio.Lock()

    async def ensure(self) -> None:
        """Make the network unless it is there; safe when several do it at once.

        Raises StepError `start_failed` where the engine refuses, or has one of that name that is not ours or
        not sealed as ours is.
        """
        try:
            # A start that is cancelled must not leave a network behind that `remove` has not seen.
            await asyncio.shield(self._make())
        except EngineRefusedError as error:
            if tells_full_disk(error.message):
                raise full_disk(Stage.START, f"the network {self.name} cannot be made") from error
            why = error.message.rstrip(".")
            message = f"this host cannot make the network {self.name}: {why}. See `docker network ls`."
            raise StepError(Stage.START, ErrorKind.START_FAILED, message, host=True) from error

    async def remove(self) -> bool:
        """Remove the network if it is ours and nobody is on it; whether it is gone. Never raises."""
        try:
            async with self._looking, self._engine.call(Stage.START) as docker:
                for network in await docker.networks.list(filters={"name": self.name, "label": _LABEL}):
                    if network["Name"] == self.name:
                        await (await docker.networks.get(network["Id"])).delete()
        except (EngineRefusedError, StepError) as error:
            # Refused while a container is on it that could not be removed: the next life tries again.
            log.debug("network.kept", network=self.name, reason=str(error))
            return False
        return True

    async def _make(self) -> None:
        async with self._looking:
            if not await self._exists():
                await self._create()

    async def _exists(self) -> bool:
        leads_to_host = await self._leads_to_host()
        async with self._engine.call(Stage.START) as docker:
            named = await docker.networks.list(filters={"name": self.name})
        same = [network for network in named if network["Name"] == self.name]
        if not same:
            return False
        ours = [network["Id"] for network in same if _LABEL in (network.get("Labels") or {})]
        if ours and len(same) > 1:
            return await self._reduced(ours)
        if not ours:
            raise EngineRefusedError(_CONFLICT, "there is one of that name that Spacedock did not make")
        if bool(same[0].get("Internal")) is not self._sealed:
            wall = "has a way out" if self._sealed else "has no way out"
            raise EngineRefusedError(_CONFLICT, f"there is one of that name that {wall}; remove it")
        if leads_to_host is has_route_to_nobody(same[0]):
            return True
        # An engine of another age made it: this one refuses it, or leads its containers to this host.
        async with self._engine.call(Stage.START) as docker:
            await (await docker.networks.get(same[0]["Id"])).delete()
        return False

    async def _reduced(self, ours: Collection[str]) -> bool:
        """Remove our networks of a name that several have: the engine starts no container on any of them."""
        async with self._engine.call(Stage.START) as docker:
            for network in ours:
                await (await docker.networks.get(network)).delete()
        return await self._exists()

    async def _leads_to_host(self) -> bool:
        return self._sealed and (await self._engine.dialect(Stage.START)).leads_to_host

    async def _create(self) -> None:
        walled = await self._leads_to_host()
        try:
            await self._create_by_engine(walled)
        except EngineRefusedError as error:
            if lacks_addresses(error):
                await self._create_by_draw(walled, error)
            elif error.status != _CONFLICT:
                raise

    async def _create_by_engine(self, walled: bool) -> None:
        """Create the network with a subnet from the engine's address pools."""
        async with self._engine.call(Stage.START) as docker:
            made = await docker.networks.create(self._body())
            if walled:
                # The engine knows which addresses are free: made once to learn them, and once to keep.
                pool = (await made.show())["IPAM"]["Config"][0]
                await made.delete()
                await docker.networks.create(self._body(pool, walled=True))

    async def _create_by_draw(self, walled: bool, error: EngineRefusedError) -> None:
        """Create the network with a subnet that we choose; raises `error` if the engine takes none."""
        routes = await asyncio.to_thread(host_routes)
        async with self._engine.call(Stage.START) as docker:
            taken = taken_subnets(await docker.networks.list(), routes)
        for subnet in islice(free_subnets(self.name, taken), _TRIES):
            pool = {"Subnet": str(subnet), "Gateway": str(subnet[1])}
            try:
                async with self._engine.call(Stage.START) as docker:
                    await docker.networks.create(self._body(pool, walled=walled))
            except EngineRefusedError as refused:
                if not lacks_addresses(refused):
                    raise
            else:
                log.info("network.subnet_chosen", network=self.name, subnet=str(subnet))
                return
        raise error

    def _body(self, pool: Mapping[str, str] | None = None, *, walled: bool = False) -> dict[str, Any]:
        body = network_body(self.name, sealed=self._sealed, pool=pool, walled=walled)
        return body | {"Labels": self._labels}


async def reap_networks(engine: Engine, owner: str, keep: Collection[str]) -> bool:
    """Remove the networks of `owner`'s single containers, except those named in `keep`; whether all are gone.

    Never raises for the engine.
    """
    try:
        async with engine.call(Stage.START) as docker:
            found = await docker.networks.list(filters={"label": f"{OWNER_LABEL}={owner}"})
    except (EngineRefusedError, StepError) as error:
        log.warning("networks.not_listed", reason=str(error))
        return False
    left = [Network(engine, network["Name"]) for network in found if network["Name"] not in keep]
    return all([await network.remove() for network in left])


def has_route_to_nobody(network: Mapping[str, Any]) -> bool:
    """Whether the network's default route leads to an address that nobody has (pure)."""
    pools = (network.get("IPAM") or {}).get("Config") or ()
    return any(_ROUTE in (pool.get("AuxiliaryAddresses") or {}) for pool in pools)


def lacks_addresses(error: EngineRefusedError) -> bool:
    """Whether the engine refuses a network because it has no subnet for it, or not the wanted one (pure)."""
    return any(words in error.message.lower() for words in _NO_ADDRESSES)


def network_body(
    name: str, *, sealed: bool, pool: Mapping[str, str] | None = None, walled: bool = False
) -> dict[str, Any]:
    """The body of `POST /networks/create` (pure); without a `pool` of addresses the engine chooses one.

    With `walled`, the containers' default route leads to an address of the pool that nobody has. Engines
    before 25 have it lead to this host, all of whose addresses a sealed container reached by it. Newer
    engines give an internal network no route at all, and refuse an address for one.
    """
    body: dict[str, Any] = {
        "Name": name,
        "Driver": "bridge",
        "CheckDuplicate": True,
        "Internal": sealed,
        "EnableIPv6": False,
        "Options": {"com.docker.network.bridge.enable_icc": "false"},
    }
    if pool is not None:
        config: dict[str, Any] = {"Subnet": pool["Subnet"], "Gateway": pool["Gateway"]}
        if walled:
            config["AuxiliaryAddresses"] = {_ROUTE: str(ip_network(pool["Subnet"])[-2])}
        body["IPAM"] = {"Config": [config]}
    return body


_PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))

_PREFIX = 22
"""A subnet of this size has as many addresses as a Linux bridge has ports."""

_NEIGHBOURHOOD = 16
"""A host often has a route to only a part of its company's or cloud's network, which is about this large."""

_EVERYWHERE = 8
"""A route that is larger leads to the internet."""

_DRAWS = 300
_ROUTES = Path("/proc/net/fib_trie")


def free_subnets(name: str, taken: Collection[IPv4Network]) -> Iterator[IPv4Network]:
    """Private subnets that overlap none of the taken ones, in an order that depends on the name (pure).

    Daemons that choose at once mostly choose different ones. There may be none.
    """
    for draw in range(_DRAWS):
        block = _PRIVATE[draw % len(_PRIVATE)]
        number = int.from_bytes(sha256(f"{name} {draw}".encode()).digest()[:4])
        offset = number % 2 ** (_PREFIX - block.prefixlen) << 32 - _PREFIX
        subnet = IPv4Network((int(block.network_address) | offset, _PREFIX))
        if not any(map(subnet.overlaps, taken)):
            yield subnet


def taken_subnets(networks: Collection[Mapping[str, Any]], routes: str) -> set[IPv4Network]:
    """What the engine's networks, as it lists them, and this host's `routes` take up (pure)."""
    taken = set()
    for network in networks:
        for pool in (network.get("IPAM") or {}).get("Config") or ():
            if subnet := pool.get("Subnet"):
                taken.add(ip_network(subnet, strict=False))
    address = ""
    for line in routes.splitlines():
        first, _, rest = line.strip().partition(" ")
        if first == "|--":
            address = rest
        elif address and first.startswith("/"):
            route = IPv4Network(address + first)
            if route.prefixlen >= _EVERYWHERE:
                taken.add(route.supernet(new_prefix=min(route.prefixlen, _NEIGHBOURHOOD)))
    return {subnet for subnet in taken if isinstance(subnet, IPv4Network)}


def host_routes() -> str:
    """The routes of every table and the host's own addresses, as the kernel prints them.

    Empty if this kernel has no such file. An engine on another machine has other routes; it refuses at least
    what overlaps its own networks.
    """
    try:
        return _ROUTES.read_text()
    except OSError:
        return ""
