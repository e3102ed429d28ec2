"""What tests need to know of the engine's networks."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any


def gateway_of(network: Mapping[str, Any]) -> str:
    """This host's address on a bridge network, also where an engine has just made it and does not say."""
    config = network["IPAM"]["Config"][0]
    return str(config.get("Gateway") or next(ip_network(config["Subnet"]).hosts()))
