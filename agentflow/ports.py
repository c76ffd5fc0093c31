"""Ports of this machine. Standard library alone: the embedded servers' supervisor carries it too."""

from __future__ import annotations

import socket

HOST = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as candidate:
        candidate.bind((HOST, 0))
        return int(candidate.getsockname()[1])


def answers(port: int) -> bool:
    """Whether something on this machine takes connections there."""
    with socket.socket() as visitor:
        visitor.settimeout(0.2)
        return visitor.connect_ex((HOST, port)) == 0
