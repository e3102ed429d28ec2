"""Where webhooks may go, by the address that a receiver's name leads to."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from spacedock._wire.view.webhooks import check_callback
from spacedock.errors import BadRequestError
from spacedockd.webhooks.sending import may_go_to

PRIVATE = (
    *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1"),
    *("224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:10.0.0.1"),
    *("2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe"),
)


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_of_no_receiver_on_the_internet_are_refused(address: str) -> None:
    assert not may_go_to(address, ())


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111", "64:ff9b::5db8:d822"])
def test_addresses_of_the_internet_are_taken(address: str) -> None:
    assert may_go_to(address, ())


def test_a_network_may_be_allowed() -> None:
    assert may_go_to("10.1.2.3", (ip_network("10.1.0.0/16"),))
    assert not may_go_to("10.2.2.3", (ip_network("10.1.0.0/16"),))


@pytest.mark.parametrize("address", ["192.0.0.192", "64:ff9b:1::7f00:1", "::127.0.0.1"])
def test_what_python_takes_for_the_internet_is_refused_where_it_is_none(address: str) -> None:
    assert not may_go_to(address, ())


NUMBERS = ("2130706433", "0x7f000001", "017700000001", "0177.0.0.1", "127.1", "0x7f.1", "1.2.3.4.5")


@pytest.mark.parametrize("host", [*NUMBERS, "2130706433:80", "127.1.", "2130706433?x", "999.1.1.1", ":80"])
def test_a_host_that_is_a_number_is_refused_when_it_is_asked_for(host: str) -> None:
    with pytest.raises(BadRequestError, match="is not an address of a receiver"):
        check_callback(f"http://{host}/hook")


@pytest.mark.parametrize("host", ["10.1.2.3:80", "[::1]:80", "localhost", "1.example", "host.7f"])
def test_names_and_addresses_are_taken(host: str) -> None:
    assert check_callback(f"http://{host}/hook") == f"http://{host}/hook"


@pytest.mark.parametrize(
    "url", ["http://a:99999/", "http://a:0/", "http://a:b/", "http://[::1/", "http://[x]/"]
)
def test_an_address_that_nobody_can_connect_to_is_refused(url: str) -> None:
    with pytest.raises(BadRequestError, match="is not an address of a receiver"):
        check_callback(url)
