"""The subnets that are free for a network on this host, where the engine has no more of its own."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from hashlib import sha256
from ipaddress import IPv4Network, ip_network
from pathlib import Path
from typing import Any

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
