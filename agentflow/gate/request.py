"""Owns a script's call as it goes over the wire. What all visits of a bulkhead have in common is packed once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agentflow.gate.scripts import Script

Argument = str | int | float


@dataclass(frozen=True, slots=True)
class Request:
    """One call of a script."""

    script: Script
    packed: bytes


@dataclass(frozen=True, slots=True)
class Opening:
    """A call's beginning: all but the last so many parts."""

    script: Script
    packed: bytes

    def then(self, *parts: Argument) -> Request:
        """Return the call that ends in these parts."""
        return Request(self.script, self.packed + pack(parts))


def opening(script: Script, keys: Sequence[str], *, more_keys: int = 0, more_arguments: int) -> Opening:
    """Return the beginning of a call that has so many more keys and arguments than these."""
    key_count = len(keys) + more_keys
    head = _count(3 + key_count + more_arguments)
    return Opening(script, head + pack(("EVALSHA", script.digest, key_count, *keys)))


def request(script: Script, keys: Sequence[str], arguments: Sequence[Argument] = ()) -> Request:
    """Return a call whose parts are all different each time."""
    return opening(script, keys, more_arguments=len(arguments)).then(*arguments)


def loading(script: Script) -> Request:
    """Return what makes a server know a script."""
    return Request(script, _count(3) + pack(("SCRIPT", "LOAD", script.text)))


def pack(parts: Iterable[Argument]) -> bytes:
    """Return parts of a command as Redis reads them."""
    return b"".join(b"$%d\r\n%b\r\n" % (len(encoded), encoded) for encoded in (str(part).encode() for part in parts))


def _count(parts: int) -> bytes:
    return b"*%d\r\n" % parts
