"""Shows how long the embedded servers live: as long as anybody uses them, and no longer."""

from __future__ import annotations

from pathlib import Path

import psycopg2
import pytest
import redis

from agentflow.local import LocalServicesError, attach, status
from tests.integration.local_users import User, found, is_alive, query, valkey, wait_for_end, wait_until


def test_cold_start_gives_servers_that_answer(tmp_path: Path) -> None:
    with attach(tmp_path / "data") as services, valkey(services.redis_url) as client:
        assert query(services.database_url, "select upper('é')") == [("É",)]
        assert query(services.database_url, "show fsync") == [("on",)]
        assert client.config_get("append*")["appendonly"] == "yes"
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_nobody_gets_in_without_the_password(tmp_path: Path) -> None:
    with attach(tmp_path) as services:
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            query(services.database_url.replace("agentflow:", "agentflow:wrong"), "select 1")
        with pytest.raises(redis.AuthenticationError), valkey(services.redis_url.replace("/:", "/:wrong")) as client:
            client.ping()
    private = list(tmp_path.glob("*/*.json"))
    assert private
    assert all(path.stat().st_mode & 0o077 == 0 for path in [*private, tmp_path / "postgres", tmp_path / "valkey"])


def test_second_process_finds_the_running_servers(tmp_path: Path) -> None:
    with attach(tmp_path) as services, User.start(tmp_path) as other:
        assert other.urls() == {"postgres": services.database_url, "valkey": services.redis_url}


def test_first_users_at_the_same_moment_share_one_server(tmp_path: Path) -> None:
    users = [User.start(tmp_path, postgres=False) for _ in range(4)]
    urls = [user.urls()["valkey"] for user in users]
    for user in users:
        user.kill()
    assert len(set(urls)) == 1


def test_servers_end_when_their_only_user_is_killed(tmp_path: Path) -> None:
    with User.start(tmp_path) as user:
        user.urls()
        services = found(tmp_path)
        user.kill()
    wait_for_end(tmp_path)
    assert services.postgres
    assert services.valkey
    pids = [
        pid for server in (services.postgres, services.valkey) for pid in (server.supervisor_pid, server.server_pid)
    ]
    wait_until(lambda: not any(is_alive(pid) for pid in pids))


def test_servers_go_on_for_the_second_user_when_the_first_is_killed(tmp_path: Path) -> None:
    with User.start(tmp_path) as first, User.start(tmp_path) as second:
        urls = first.urls()
        assert second.urls() == urls
        before = found(tmp_path)
        first.kill()
        assert query(urls["postgres"], "select 1") == [(1,)]
        assert found(tmp_path) == before
        second.leave()
        wait_for_end(tmp_path)


def test_servers_keep_address_and_data_from_one_user_to_the_next(tmp_path: Path) -> None:
    with attach(tmp_path) as first, valkey(first.redis_url) as client:
        query(first.database_url, "create table kept as select 42 as answer")
        client.set("kept", "yes")
        urls = first.database_url, first.redis_url
    with attach(tmp_path) as second, valkey(second.redis_url) as client:
        assert (second.database_url, second.redis_url) == urls
        assert query(second.database_url, "select answer from kept") == [(42,)]
        assert client.get("kept") == "yes"


def test_one_process_may_attach_twice(tmp_path: Path) -> None:
    with attach(tmp_path, postgres=False) as first:
        with attach(tmp_path, postgres=False) as second:
            assert second.redis_url == first.redis_url
        with valkey(first.redis_url) as client:
            assert client.ping()


def test_only_what_is_asked_for_is_started(tmp_path: Path) -> None:
    with attach(tmp_path, postgres=False) as services:
        assert found(tmp_path).postgres is None
        with pytest.raises(LocalServicesError, match="postgres=True"):
            _ = services.database_url


def test_status_starts_nothing(tmp_path: Path) -> None:
    assert status(tmp_path / "data") is None
    assert not (tmp_path / "data").exists()


def test_long_and_quoted_paths_do(tmp_path: Path) -> None:
    data_dir = tmp_path / ('it\'s a "long" path é ' * 6)
    with attach(data_dir) as services, valkey(services.redis_url) as client:
        assert query(services.database_url, "select 1") == [(1,)]
        assert client.ping()


def test_a_file_in_place_of_the_data_directory_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(LocalServicesError, match="AGENTFLOW_DATA_DIR"):
        attach(tmp_path / "data")
