from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as some

from agentflow.policy.addresses import PrivateReach, is_public, literal


@given(some.ip_addresses())
def test_what_python_calls_private_is_never_public(address: IPv4Address | IPv6Address) -> None:
    assert address.is_global or not is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.0.1", "169.254.169.254",
        "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.168.1.1", "198.18.0.1", "198.51.100.1",
        "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "168.63.129.16",
        "::", "::1", "::127.0.0.1", "::ffff:8.8.8.8", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1",
        "64:ff9b:1::8.8.8.8", "2001::1", "2001:db8::1", "2002:7f00:1::", "2002:808:808::", "3fff::1", "fc00::1",
        "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1",
    ],
)  # fmt: skip
def test_an_address_that_is_not_of_the_public_internet_is_known(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "100.63.255.255", "100.128.0.1", "172.32.0.1", "2606:4700::1111", "64:ff9b::8.8.8.8"]
)
def test_an_address_of_the_public_internet_is_known(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("[::1]", "::1"),
        ("::1", "::1"),
    ],
)
def test_an_address_is_known_however_it_is_written(host: str, address: str) -> None:
    assert literal(host) == ip_address(address)


@pytest.mark.parametrize("host", ["example.com", "a1.example.com", "0x7f.example", "xn--bcher-kva.example", "cafe"])
def test_a_name_is_no_address(host: str) -> None:
    assert literal(host) is None


@pytest.mark.parametrize("host", ["999.1.1.1", "1.2.3.4.5", "0x1ffffffff", "host.08"])
def test_what_ends_in_a_number_and_is_no_address_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="neither a name nor an address"):
        literal(host)


def test_networks_and_hosts_can_be_allowed() -> None:
    reach = PrivateReach.read(" 10.0.0.0/8, fd00::/8 ,CRM.internal, 192.168.1.7")

    assert reach.admits("any", ip_address("10.1.2.3"))
    assert reach.admits("any", ip_address("fd00::1"))
    assert reach.admits("any", ip_address("192.168.1.7"))
    assert reach.admits("crm.Internal.", ip_address("172.16.0.1"))
    assert not reach.admits("other.internal", ip_address("172.16.0.1"))
    assert not reach.admits("any", ip_address("::ffff:10.1.2.3"))


def test_by_default_nothing_private_is_reached() -> None:
    assert not PrivateReach.read("").admits("localhost", ip_address("127.0.0.1"))


@pytest.mark.parametrize("text", ["10.0.0.1/8", "10.0.0.0/33", "http://crm", "10.0.0", "a b"])
def test_what_is_neither_network_nor_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"write networks \(10\.0\.0\.0/8\) and host names"):
        PrivateReach.read(text)
