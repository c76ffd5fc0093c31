"""Shows what becomes of the embedded servers when something is killed, or when a predecessor left a mess."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agentflow.local import RunningServer, ServerFailed, attach, watchdog
from tests.integration.local_users import (
    SAME_PACKAGES,
    answers,
    found,
    is_alive,
    query,
    valkey,
    wait_for_end,
    wait_until,
)


def test_killed_supervisors_take_their_servers_along(tmp_path: Path) -> None:
    with attach(tmp_path):
        servers = [_postgres(tmp_path), _valkey(tmp_path)]
        for server in servers:
            os.kill(server.supervisor_pid, signal.SIGKILL)
        wait_until(lambda: not any(is_alive(server.server_pid) for server in servers))


def test_user_of_a_killed_supervisor_attaches_again_and_finds_its_data(tmp_path: Path) -> None:
    with attach(tmp_path) as before, valkey(before.redis_url) as client:
        query(before.database_url, "create table kept as select 42 as answer")
        client.set("kept", "yes")
        for server in (_postgres(tmp_path), _valkey(tmp_path)):
            os.kill(server.supervisor_pid, signal.SIGKILL)
        wait_for_end(tmp_path)  # of the supervisors; their servers may still be dying
        with attach(tmp_path) as after:
            assert query(after.database_url, "select answer from kept") == [(42,)]
            with valkey(after.redis_url) as again:
                assert again.get("kept") == "yes"


def test_killed_postgres_comes_back_on_the_same_port(tmp_path: Path) -> None:
    with attach(tmp_path, valkey=False) as services:
        query(services.database_url, "create table kept as select 42 as answer")
        killed = _postgres(tmp_path)
        os.kill(killed.server_pid, signal.SIGKILL)
        wait_until(lambda: _postgres(tmp_path).server_pid != killed.server_pid and answers(services.database_url))
        assert query(services.database_url, "select answer from kept") == [(42,)]


def test_attach_waits_for_a_server_that_is_being_restarted(tmp_path: Path) -> None:
    with attach(tmp_path, postgres=False):
        killed = _valkey(tmp_path)
        os.kill(killed.server_pid, signal.SIGKILL)
        wait_until(lambda: not is_alive(killed.server_pid) and _valkey(tmp_path).server_pid != killed.server_pid)
        with attach(tmp_path, postgres=False) as again, valkey(again.redis_url) as client:
            assert client.ping()


def test_supervisor_that_is_told_to_stop_stops_in_good_order(tmp_path: Path) -> None:
    with attach(tmp_path, valkey=False):
        os.kill(_postgres(tmp_path).supervisor_pid, signal.SIGTERM)
        wait_for_end(tmp_path)
    assert "database system is shut down" in (tmp_path / "postgres/server.log").read_text()
    assert not (tmp_path / "postgres/server.json").exists()


def test_lock_file_with_the_pid_of_a_stranger_is_taken_over(tmp_path: Path) -> None:
    with attach(tmp_path, valkey=False):
        record = _postgres(tmp_path)
    wait_for_end(tmp_path)
    with _sleeper() as pid:
        _leave_record(tmp_path / "postgres/server.json", record, server_pid=pid)
        _leave_lock_file(tmp_path, pid)
        with attach(tmp_path, valkey=False) as services:
            assert answers(services.database_url)


def test_lock_file_of_a_server_that_is_not_ours_is_respected(tmp_path: Path) -> None:
    with attach(tmp_path, valkey=False):
        pass
    wait_for_end(tmp_path)
    with _sleeper() as pid:
        _leave_lock_file(tmp_path, pid)
        with pytest.raises(ServerFailed, match=r'lock file "postmaster\.pid" already exists'):
            attach(tmp_path, valkey=False)


def test_port_that_somebody_took_meanwhile_is_changed(tmp_path: Path) -> None:
    with attach(tmp_path, postgres=False):
        pass
    wait_for_end(tmp_path)
    port = json.loads((tmp_path / "valkey/address.json").read_text())["port"]
    with socket.create_server(("127.0.0.1", port)), attach(tmp_path, postgres=False) as services:
        assert f":{port}/" not in services.redis_url
        with valkey(services.redis_url) as client:
            assert client.ping()


def test_lost_password_is_replaced(tmp_path: Path) -> None:
    with attach(tmp_path, valkey=False) as services:
        query(services.database_url, "create table kept as select 42 as answer")
    wait_for_end(tmp_path)
    (tmp_path / "postgres/address.json").unlink()
    with attach(tmp_path, valkey=False) as services:
        assert query(services.database_url, "select answer from kept") == [(42,)]


def test_half_made_cluster_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "postgres/cluster.new/base").mkdir(parents=True)
    (tmp_path / "postgres/cluster.new/PG_VERSION").write_text("18\n")
    with attach(tmp_path, valkey=False) as services:
        assert answers(services.database_url)


def test_data_of_another_postgres_are_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "postgres/cluster").mkdir(parents=True)
    (tmp_path / "postgres/cluster/PG_VERSION").write_text("9\n")
    with pytest.raises(ServerFailed, match=r"made by PostgreSQL 9.*install PostgreSQL 9, or move that directory"):
        attach(tmp_path, valkey=False)


def test_append_only_file_that_cannot_be_read_is_set_aside(tmp_path: Path) -> None:
    with attach(tmp_path, postgres=False) as services, valkey(services.redis_url) as client:
        client.set("kept", "yes")
    wait_for_end(tmp_path)
    for file in (tmp_path / "valkey/appendonlydir").glob("*.aof"):
        file.write_bytes(b"*9\r\nno commands\r\n" * 9)
    with attach(tmp_path, postgres=False) as services, valkey(services.redis_url) as client:
        assert client.get("kept") is None
    assert (tmp_path / "valkey/appendonlydir.broken").is_dir()


def test_watchdog_ends_a_server_whose_supervisor_was_killed() -> None:
    with _sleeper() as pid:
        script = f"from agentflow.local import watchdog; watched = watchdog.watch({pid}, 9); print(flush=True); input()"
        pipe, environment = subprocess.PIPE, {**os.environ, **SAME_PACKAGES}
        with subprocess.Popen([sys.executable, "-c", script], stdin=pipe, stdout=pipe, env=environment) as supervisor:
            assert supervisor.stdout
            supervisor.stdout.readline()
            supervisor.kill()
        wait_until(lambda: not is_alive(pid))


def test_dismissed_watchdog_ends_nobody() -> None:
    with _sleeper() as pid:
        watched = watchdog.watch(pid, signal.SIGKILL)
        watchdog.dismiss(watched)
        assert watched.returncode == 0
        assert is_alive(pid)


def _postgres(data_dir: Path) -> RunningServer:
    server = found(data_dir).postgres
    assert server
    return server


def _valkey(data_dir: Path) -> RunningServer:
    server = found(data_dir).valkey
    assert server
    return server


@contextmanager
def _sleeper() -> Iterator[int]:
    process = subprocess.Popen(["sleep", "600"])
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def _leave_record(path: Path, record: RunningServer, *, server_pid: int) -> None:
    path.write_text(json.dumps({**vars(record), "server_pid": server_pid}))


def _leave_lock_file(data_dir: Path, pid: int) -> None:
    cluster = data_dir / "postgres/cluster"
    (cluster / "postmaster.pid").write_text(f"{pid}\n{cluster}\n1700000000\n1\n\n127.0.0.1\n\nready\n")
