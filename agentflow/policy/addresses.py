"""Which addresses a webhook may go to: those of the public internet, and the private ones that an operator allows."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# The tables are ours because `is_global` answers differently from one patch release of Python to the next.
_CLOSED_V4 = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
        "168.63.129.16/32",  # public by its number, and yet the machine's own host in Azure
    )
)  # fmt: skip
_OPEN_V6 = IPv6Network("2000::/3")
_CLOSED_V6 = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",  # Teredo and other protocols' blocks
        "2001:db8::/32", "2002::/16", "3fff::/20",  # 2002 is 6to4: it holds an IPv4 address
    )
)  # fmt: skip
_NAT64 = IPv6Network("64:ff9b::/96")

_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_ENDS_IN_NUMBER = re.compile(r"(^|\.)(0x[0-9a-f]*|[0-9]+)\.?$")


def is_public(address: Address) -> bool:
    """Whether the address belongs to the public internet, and to nothing that another address hides in."""
    if isinstance(address, IPv4Address):
        return not any(address in block for block in _CLOSED_V4)
    if address in _NAT64:
        # What a network without IPv4 resolves every IPv4 host to: judged by the host that it means.
        return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    return address in _OPEN_V6 and not any(address in block for block in _CLOSED_V6)


def literal(host: str) -> Address | None:
    """The address that a URL's host is in itself, in the old octal, hexadecimal and short forms too; None for a name.

    ValueError for what ends in a number and is no address.
    """
    try:
        return ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        if not _ENDS_IN_NUMBER.search(host.lower()):
            return None
    try:
        return IPv4Address(socket.inet_aton(host.removesuffix(".")))
    except OSError:
        raise ValueError(f"{host!r} is neither a name nor an address") from None


def is_this_machine(host: str) -> bool:
    """Whether the name means the machine that resolves it, wherever that is."""
    name = host.lower().removesuffix(".")
    return name == "localhost" or name.endswith(".localhost")


@dataclass(frozen=True, slots=True)
class PrivateReach:
    """The private networks, and the hosts with private addresses, that webhooks may go to; by default none."""

    networks: tuple[Network, ...] = ()
    hosts: frozenset[str] = frozenset()

    @classmethod
    def read(cls, text: str) -> PrivateReach:
        """Read networks (10.0.0.0/8) and host names with commas between; ValueError names what is neither."""
        networks: list[Network] = []
        hosts: set[str] = set()
        for entry in filter(None, (part.strip().lower() for part in text.split(","))):
            try:
                networks.append(ip_network(entry))
            except ValueError as error:
                if "/" in entry or not _HOST.fullmatch(entry) or _ENDS_IN_NUMBER.search(entry):
                    raise ValueError(f"{error}; write networks (10.0.0.0/8) and host names, with commas") from None
                hosts.add(entry)
        return cls(tuple(networks), frozenset(hosts))

    def admits(self, host: str, address: Address) -> bool:
        """Whether a request for `host` may be sent to this address, which it is or resolves to."""
        return is_public(address) or self.names(host) or any(address in network for network in self.networks)

    def names(self, host: str) -> bool:
        """Whether the host is allowed by its name."""
        return host.lower().removesuffix(".") in self.hosts
