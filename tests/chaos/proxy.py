"""Owns the doors in front of the servers: `python -m tests.chaos.proxy NAME=HOST:PORT ...`, a process of its own.

It says the port of each door in a line of JSON, then takes orders, a line of JSON each, and answers `done` to each:

    {"door": "postgres", "order": "cut"}                  every connection is reset, new ones pass
    {"door": "postgres", "order": "delay", "by_s": 0.2}   what passes is held up so long, in both directions
    {"door": "postgres", "order": "hold"}                 nothing passes; what was sent meanwhile arrives afterwards
    {"door": "postgres", "order": "refuse"}               every connection is reset, new ones are refused
    {"door": "postgres", "order": "open"}                 all is well again

It ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

from tests.chaos.door import Door


async def _serve(servers: dict[str, tuple[str, int]]) -> None:
    doors = {name: Door(*server) for name, server in servers.items()}
    for door in doors.values():
        await door.obey("open")
    _say(json.dumps({name: door.port for name, door in doors.items()}))
    async for given in _lines():
        order: dict[str, Any] = json.loads(given)
        await doors[order.pop("door")].obey(**order)
        _say("done")


async def _lines() -> AsyncIterator[bytes]:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        yield line


def _say(line: str) -> None:
    print(line, flush=True)


def _named(argument: str) -> tuple[str, tuple[str, int]]:
    name, _, address = argument.partition("=")
    host, _, port = address.rpartition(":")
    return name, (host, int(port))


async def _main() -> None:
    await _serve(dict(map(_named, sys.argv[1:])))
    # What still passes is cut with the process: there is nobody left to wait for.
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(_main())
