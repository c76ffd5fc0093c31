"""Owns a server's port and password, which outlive the server so that its URL survives a restart."""

from __future__ import annotations

import json
import os
import random
from dataclasses import asdict, dataclass

from agentflow.local.folder import ServerFolder
from agentflow.local.storage import read_object, write_private
from agentflow.ports import free_port, is_free

# Below the ports that the kernel hands out to outgoing connections: one of those could sit on ours while the server is
# down, or, on loopback, connect to itself.
_PORTS = range(15_000, 32_000)
_TRIES = 64


@dataclass(frozen=True)
class Address:
    """Where a server listens, and the password that opens it."""

    port: int
    password: str


def settle_address(folder: ServerFolder) -> Address:
    """Answer the server's address: the last one if its port is still free, else one with a new port."""
    known = read_address(folder)
    if known and is_free(known.port):
        return known
    address = Address(choose_port(), known.password if known else os.urandom(24).hex())
    write_private(folder.address, json.dumps(asdict(address)))
    return address


def read_address(folder: ServerFolder) -> Address | None:
    """Answer the last address; None if there was none."""
    found = read_object(folder.address)
    try:
        return Address(**found) if found else None
    except TypeError:
        return None


def choose_port() -> int:
    """Answer a port that nothing listens on."""
    for _ in range(_TRIES):
        port = random.choice(_PORTS)  # noqa: S311 - the password is the secret
        if is_free(port):
            return port
    return free_port()
