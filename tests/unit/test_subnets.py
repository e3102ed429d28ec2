"""Which subnets are free where the engine's address pools are used up."""

from __future__ import annotations

from ipaddress import IPv4Network
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.engine_double import engine_double

from spacedock_worker.containers.docker.engine import EngineRefusedError
from spacedock_worker.containers.docker.network import (
    Network,
    free_subnets,
    host_routes,
    lacks_addresses,
    taken_subnets,
)
from spacedock_worker.errors import StepError

TRIE = """\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
        /1 universe UNICAST
     |-- 10.128.0.5
        /32 host LOCAL
     +-- 172.17.0.0/31 1 0 0
        |-- 172.17.0.0
           /16 link UNICAST
Id 52:
     |-- 192.168.7.0
        /24 universe UNICAST
"""
OLD = "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to it"
NEW = "all predefined address pools have been fully subnetted"
OVERLAPS = "invalid pool request: Pool overlaps with other one on this address space"


def nets(*texts: str) -> set[IPv4Network]:
    return {IPv4Network(text) for text in texts}


def network(*subnets: str) -> dict[str, Any]:
    return {"Name": "n", "IPAM": {"Config": [{"Subnet": subnet} for subnet in subnets] or None}}


def test_routes_of_every_table_are_taken_with_their_neighbourhood() -> None:
    assert taken_subnets([], TRIE) == nets("10.128.0.0/16", "172.17.0.0/16", "192.168.0.0/16")
    assert taken_subnets([], "") == taken_subnets([], "no routes\n/8 at all\n") == set()
    assert IPv4Network("127.0.0.0/8") in taken_subnets([], host_routes())


def test_the_engines_networks_are_taken() -> None:
    listed = [network("10.9.0.0/24", "fd00::/64"), network(), {"Name": "host", "IPAM": None}]
    assert taken_subnets(listed, "") == nets("10.9.0.0/24")


def test_free_subnets_are_private_and_overlap_nothing() -> None:
    taken = taken_subnets([network("10.0.0.0/9"), network("172.20.0.0/14")], TRIE)
    found = list(free_subnets("spacedock-one", taken))
    assert found
    assert all(subnet.is_private and subnet.num_addresses == 1024 for subnet in found)
    assert not any(subnet.overlaps(other) for subnet in found for other in taken)


def test_a_company_that_has_all_of_10_leaves_others() -> None:
    found = list(free_subnets("spacedock-one", nets("10.0.0.0/8", "192.168.0.0/16")))
    assert {str(subnet).split(".")[0] for subnet in found} == {"172"}
    assert list(free_subnets("x", nets("10.0.0.0/8", "192.168.0.0/16", "172.16.0.0/12"))) == []


def test_daemons_choose_different_subnets() -> None:
    firsts = [next(free_subnets(f"spacedock-{number}", ())) for number in range(20)]
    assert not any(one.overlaps(other) for one, other in pairwise(sorted(firsts)))
    assert list(islice(free_subnets("a", ()), 3)) == list(islice(free_subnets("a", ()), 3))


@pytest.mark.parametrize("words", [OLD, NEW])
@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("api", ["1.41", "1.51"])
async def test_a_subnet_is_chosen_where_the_engine_has_none(
    tmp_path: Path, words: str, sealed: bool, api: str
) -> None:
    asked: list[dict[str, Any]] = []

    async def create(request: web.Request) -> web.Response:
        body = await request.json()
        if "IPAM" not in body:
            return web.json_response({"message": words}, status=500)
        asked.append(body)
        if len(asked) == 1:
            # Another daemon has just taken it.
            return web.json_response({"message": OVERLAPS}, status=403)
        return web.json_response({"Id": "new"})

    version = {"Version": "1", "ApiVersion": api, "MinAPIVersion": "1.24"}
    answers = {"version": version, "networks": [network("10.9.0.0/24")], "networks/create": create}
    async with engine_double(tmp_path, answers) as (engine, _):
        await Network(engine, "spacedock-one", sealed=sealed).ensure()
    first, second = (body["IPAM"]["Config"][0] for body in asked)
    assert first["Subnet"] != second["Subnet"]
    subnet = IPv4Network(second["Subnet"])
    assert second["Gateway"] == str(subnet[1])
    walled = {"DefaultGatewayIPv4": str(subnet[-2])} if sealed and api == "1.41" else None
    assert second.get("AuxiliaryAddresses") == walled


async def test_an_engine_that_takes_no_subnet_is_told_in_its_own_words(tmp_path: Path) -> None:
    def create(_: web.Request) -> web.Response:
        return web.json_response({"message": NEW}, status=400)

    async with engine_double(tmp_path, {"networks": [], "networks/create": create}) as (engine, double):
        with pytest.raises(StepError, match=r"cannot make the network spacedock-one: .*all predefined"):
            await Network(engine, "spacedock-one").ensure()
    assert len([path for path in double.asked if path.endswith("/create")]) == 9


def test_other_refusals_are_not_taken_for_it() -> None:
    assert lacks_addresses(EngineRefusedError(403, OVERLAPS))
    assert not lacks_addresses(EngineRefusedError(409, "network with name spacedock-one already exists"))
