"""Where a webhook's host is: looked up by ourselves, so that the address that is judged is the one that is called."""

from __future__ import annotations

import socket
from collections.abc import Callable
from ipaddress import ip_address

from agentflow.policy.addresses import Address, PrivateReach
from agentflow.policy.delivering import private_refused

LookUp = Callable[[str, int], list[str]]
"""Answers the addresses of a host; socket.gaierror where it has none."""


def look_up(host: str, port: int) -> list[str]:
    """Ask the system's resolver for a host's addresses, in its order of preference."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def find_addresses(host: str, port: int, private: PrivateReach, look_up: LookUp = look_up) -> list[Address]:
    """Return the addresses that a host may be called at; a ToolError refuses it if any one of them is private.

    All have to be public: who has a name resolve to both tries to get through by the order of the answers.
    """
    addresses = [ip_address(found) for found in look_up(host, port)]
    for address in addresses:
        if not private.admits(host, address):
            raise private_refused(host, None if host == str(address) else address)
    return addresses
