"""Restate: a handler whose steps are entries of the log of Restate's own server, which keeps them in RocksDB.

So nothing of it is in Postgres; its server counts with the workers.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx
from restate import Context, Service, app

from bench.peers.work import STEPS, do_step
from bench.waiting import until

AT_ONCE = 64

_PROGRAM = "node_modules/@restatedev/restate-server-*/bin/restate-server"
_PORTS = Path("ports.json")
_RUN_S = 300.0

line_service = Service("line")


@line_service.handler("run")
async def run(context: Context, _input: int) -> bool:
    """Do the steps, each once its predecessor's result is in the log."""
    for number in range(STEPS):
        await context.run_typed(f"step {number}", partial(do_step, number))
    return True


served = app([line_service])


def prepare() -> None:
    """Choose ports for the server's three doors, and for the handler."""
    sockets = {name: socket.create_server(("127.0.0.1", 0)) for name in ("ingress", "admin", "node", "handler")}
    _PORTS.write_text(json.dumps({name: each.getsockname()[1] for name, each in sockets.items()}), encoding="utf-8")


def work(name: str) -> None:
    """Run the server, or two processes that serve the handler."""
    # What is started here is of the same group.
    signal.signal(signal.SIGTERM, lambda *_: os.killpg(os.getpgrp(), signal.SIGKILL))
    command, environment = _server() if name == "server" else (_handler(), {})
    subprocess.run(command, env={**os.environ, **environment}, check=True)


def _server() -> tuple[list[str], dict[str, str]]:
    program = next(Path(sys.prefix).glob(_PROGRAM))
    return [str(program), "--node-name", "bench"], {
        "RESTATE_BASE_DIR": "restate-data",
        "RESTATE_BIND_ADDRESS": _address("node"),
        "RESTATE_ADMIN__BIND_ADDRESS": _address("admin"),
        "RESTATE_INGRESS__BIND_ADDRESS": _address("ingress"),
        "RESTATE_LOG_FILTER": "warn",
        "RESTATE_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
    }


def _handler() -> list[str]:
    hypercorn = [sys.executable, "-m", "hypercorn", "--workers", "2", "--log-level", "warning"]
    return [*hypercorn, "--bind", _address("handler"), f"{__name__}:served"]


def connect() -> Callable[[int], None]:
    """Return what calls the handler so many times, once the server knows it."""
    until(_is_registered, "server that takes the handler")
    loop = asyncio.new_event_loop()
    limits = httpx.Limits(max_connections=AT_ONCE)
    client = httpx.AsyncClient(base_url=f"http://{_address('ingress')}", limits=limits, timeout=_RUN_S)

    async def call() -> None:
        (await client.post("/line/run", json=1)).raise_for_status()

    async def call_all(count: int) -> None:
        await asyncio.gather(*(call() for _ in range(count)))

    return lambda count: loop.run_until_complete(call_all(count))


def _is_registered() -> bool:
    told = {"uri": f"http://{_address('handler')}"}
    try:
        return httpx.post(f"http://{_address('admin')}/deployments", json=told).is_success
    except httpx.HTTPError:
        return False


def _address(name: str) -> str:
    return f"127.0.0.1:{json.loads(_PORTS.read_text(encoding='utf-8'))[name]}"
