"""Shows as whom the embedded PostgreSQL runs: a normal user, and root, whom PostgreSQL itself refuses."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentflow.local import LocalServicesError, attach, status
from agentflow.local.identity import choose_identity, other_user, own
from tests.integration.local_users import NOBODY, User, answers, found, query, wait_for_end

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="shows what root can do")


@pytest.fixture
def closed_folder(tmp_path: Path) -> Path:
    """A folder that only root gets into, like /root."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def folder_of_nobody() -> Iterator[Path]:
    """A folder of a normal user, where pytest's own are root's."""
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, NOBODY, NOBODY)
        yield Path(folder) / "data"


@as_root
def test_normal_user_starts_servers_of_its_own(folder_of_nobody: Path) -> None:
    with User.start(folder_of_nobody, uid=NOBODY) as user:
        urls = user.urls()
        assert answers(urls["postgres"])
        server = found(folder_of_nobody).postgres
        assert server
        assert _real_uid(server.server_pid) == _real_uid(server.supervisor_pid) == NOBODY
        user.kill()
        wait_for_end(folder_of_nobody)


@as_root
def test_roots_server_runs_where_nobody_else_gets_in(closed_folder: Path) -> None:
    with attach(closed_folder, valkey=False) as services:
        assert answers(services.database_url)


@as_root
def test_data_of_another_user_stay_that_users(closed_folder: Path) -> None:
    with attach(closed_folder, valkey=False) as services:
        query(services.database_url, "create table kept as select 42 as answer")
    wait_for_end(closed_folder)
    own(other_user(NOBODY, NOBODY), closed_folder / "postgres/cluster")
    with attach(closed_folder, valkey=False) as services:
        assert query(services.database_url, "select answer from kept") == [(42,)]
        server = found(closed_folder).postgres
        assert server
        assert _real_uid(server.server_pid) == NOBODY
    assert (closed_folder / "postgres/cluster/PG_VERSION").stat().st_uid == NOBODY


@as_root
def test_root_without_user_namespaces_runs_as_another_user(closed_folder: Path) -> None:
    program = Path("/bin/true")
    cluster = closed_folder / "cluster"
    cluster.mkdir()
    own(other_user(NOBODY, NOBODY), cluster)
    assert choose_identity(program, closed_folder, cluster).owner == NOBODY


@as_root
def test_another_users_data_directory_is_a_clear_error(closed_folder: Path, folder_of_nobody: Path) -> None:
    with attach(closed_folder, postgres=False):
        pass
    wait_for_end(closed_folder)
    closed_folder.chmod(0o755)
    folder_of_nobody.mkdir()
    (closed_folder / "valkey").rename(folder_of_nobody / "valkey")
    with _as_nobody():
        with pytest.raises(LocalServicesError, match="make it this user's own"):
            attach(folder_of_nobody, postgres=False)
        with pytest.raises(LocalServicesError, match="make it this user's own"):
            status(folder_of_nobody)


class _as_nobody:  # noqa: N801 - reads as a verb
    """Turn this process's file access into a normal user's for a while."""

    def __enter__(self) -> None:
        os.seteuid(NOBODY)

    def __exit__(self, *_: object) -> None:
        os.seteuid(0)


def _real_uid(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Uid:"))
