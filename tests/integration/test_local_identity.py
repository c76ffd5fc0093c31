"""Shows as whom the embedded PostgreSQL runs: a normal user, and root, whom PostgreSQL itself refuses."""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentflow.local import LocalServicesError, attach, status
from agentflow.local.identity import other_user, own
from tests.integration.local_users import NOBODY, SAME_PACKAGES, User, answers, found, query, wait_for_end

_SYSTEM_CALLS = {
    "x86_64": {"unshare": 272, "setuid": 105},
    "aarch64": {"unshare": 97, "setuid": 146},
}.get(os.uname().machine, {})

on_known_kernel = pytest.mark.skipif(not _SYSTEM_CALLS, reason="needs the numbers of this machine's system calls")
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
    with User.run(_python_of_nobody(), folder_of_nobody, uid=NOBODY) as user:
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
@on_known_kernel
def test_root_without_user_namespaces_runs_it_as_another_user(closed_folder: Path) -> None:
    with _root_without("unshare", closed_folder) as user:
        assert answers(user.urls()["postgres"])
        server = found(closed_folder).postgres
        assert server
        assert _real_uid(server.server_pid) == NOBODY


@as_root
@on_known_kernel
def test_data_made_in_a_user_namespace_serve_without_one(closed_folder: Path) -> None:
    with attach(closed_folder, valkey=False) as services:
        query(services.database_url, "create table kept as select 42 as answer")
    wait_for_end(closed_folder)
    with _root_without("unshare", closed_folder) as user:
        assert query(user.urls()["postgres"], "select answer from kept") == [(42,)]


@as_root
@on_known_kernel
def test_root_that_can_be_nobody_else_gets_a_clear_error(closed_folder: Path) -> None:
    with _root_without("unshare setuid", closed_folder) as user:
        assert "run agentflow as a normal user, or set AGENTFLOW_DATABASE_URL" in user.complaint()


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


def _root_without(system_calls: str, data_dir: Path) -> User:
    """A user to whom the kernel refuses these system calls, the way a container's runtime has it do."""
    numbers = [_SYSTEM_CALLS[name] for name in system_calls.split()]
    return User.run(sys.executable, data_dir, prepare=lambda: _refuse(numbers), valkey=False)


def _refuse(numbers: list[int]) -> None:
    load, jump_if_equal, answer, refused, allowed = 0x20, 0x15, 0x06, 0x00050001, 0x7FFF0000
    checks = [struct.pack("HBBI", jump_if_equal, len(numbers) - place, 0, n) for place, n in enumerate(numbers)]
    start, ends = struct.pack("HBBI", load, 0, 0, 0), [struct.pack("HBBI", answer, 0, 0, k) for k in (allowed, refused)]
    program = ctypes.create_string_buffer(b"".join([start, *checks, *ends]))
    header = struct.pack("HxxxxxxQ", len(numbers) + 3, ctypes.addressof(program))
    if ctypes.CDLL(None).prctl(22, 2, ctypes.c_char_p(header), 0, 0) != 0:
        raise OSError("the kernel takes no filter of system calls")


class _as_nobody:  # noqa: N801 - reads as a verb
    """Turn this process's file access into a normal user's for a while."""

    def __enter__(self) -> None:
        os.seteuid(NOBODY)

    def __exit__(self, *_: object) -> None:
        os.seteuid(0)


def _python_of_nobody() -> str:
    """A Python that runs our packages for a user who gets neither into root's home nor into root's environments."""
    for python in (sys.executable, "/usr/bin/python3"):
        if Path(python).exists() and _runs_for_nobody(python):
            return python
    pytest.skip("no Python of this machine runs these packages for a normal user")


def _runs_for_nobody(python: str) -> bool:
    check, environment = [python, "-c", "import agentflow.local"], {**os.environ, **SAME_PACKAGES}
    try:
        done = subprocess.run(check, env=environment, user=NOBODY, group=NOBODY, extra_groups=[], check=False)
    except PermissionError:
        return False
    return done.returncode == 0


def _real_uid(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Uid:"))
