"""Upgrades of the schema beside those who use it, and what older and newer code say of one that is not their own."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from agentflow.domain.errors import DatabaseUnavailable, SchemaOutdated
from agentflow.store import revisions, schema
from agentflow.store.database import probe_engine
from agentflow.store.short_locks import LOCK_TIMEOUT_S
from tests.integration.cli_commands import Project
from tests.integration.workers.releases import make_release, released
from tests.integration.workers.waiting import until

READS = 20
SHELF, RACK, NO_SHELF = ("shelf",), ("shelf", "rack"), ("shelf", "rack", "no_shelf")


@pytest.fixture
def release(tmp_path: Path) -> Iterator[Path]:
    """The migrations of a release that has three revisions more."""
    with released(made := make_release(tmp_path, NO_SHELF)):
        yield made


def test_a_revision_serves_the_code_of_the_one_before_it_where_it_says_nothing(release: Path) -> None:
    assert revisions.served_at("rack") == ["rack", "shelf"]
    assert revisions.served_at("shelf") == ["shelf", "0005"]
    assert revisions.served_at("0001") == ["0001"]


def test_a_revision_may_serve_code_from_long_before_it(release: Path) -> None:
    says(release, "rack", '\nserves = "0005"\n')
    assert revisions.served_at("rack") == ["rack", "shelf", "0005"]


def test_a_revision_that_serves_no_older_code_ends_what_those_before_it_served(release: Path) -> None:
    says(release, "shelf", '\nserves = "shelf"\n')
    says(release, "rack", '\nserves = "0005"\n')
    assert revisions.served_at("rack") == ["rack", "shelf"]


def test_older_code_goes_on_with_a_newer_schema_that_serves_it(agentflow_database_url: str, tmp_path: Path) -> None:
    with released(make_release(tmp_path, SHELF)):
        assert schema.upgrade(agentflow_database_url, "agentflow") == "shelf"

    assert schema.check(agentflow_database_url, "agentflow") == "shelf"
    assert schema.upgrade(agentflow_database_url, "agentflow") == "shelf", (
        "a release that is rolled back changes nothing"
    )


def test_older_code_refuses_a_newer_schema_that_does_not_serve_it(agentflow_database_url: str, tmp_path: Path) -> None:
    with released(make_release(tmp_path, RACK)):
        schema.upgrade(agentflow_database_url, "agentflow")

    for ask in (schema.check, schema.upgrade):
        with pytest.raises(SchemaOutdated, match="'rack', which this agentflow does not know: install a newer"):
            ask(agentflow_database_url, "agentflow")


def test_the_command_line_tells_a_newer_schema_that_serves_it_from_its_own(
    agentflow_database_url: str, tmp_path: Path
) -> None:
    project = Project.of(tmp_path / "project", AGENTFLOW_DATABASE_URL=agentflow_database_url)
    with released(make_release(tmp_path, SHELF)):
        schema.upgrade(agentflow_database_url, "agentflow")

    checked = project.run("db", "check")

    assert (checked.returncode, checked.stderr) == (0, "")
    assert "is at shelf, newer than this agentflow, and serves it too" in checked.stdout
    assert "newer than this agentflow" in project.run("doctor").stdout


def test_an_upgrade_that_waits_for_a_table_lets_the_others_pass_and_is_done_once_it_can_be(
    agentflow_database_url: str, release: Path
) -> None:
    with ThreadPoolExecutor(1) as threads, holding(agentflow_database_url, "agent_steps") as holder:
        upgrading = threads.submit(schema.upgrade, agentflow_database_url, "agentflow")
        until(lambda: waits(agentflow_database_url), "an upgrade that waits for the table")
        slowest = max(read_s(agentflow_database_url) for _ in range(READS))
        was_done = upgrading.done()
        holder.rollback()
        assert upgrading.result(timeout=30) == "no_shelf"

    print(f"the slowest of {READS} reads behind a waiting upgrade took {slowest:.2f} s")
    assert (was_done, slowest < LOCK_TIMEOUT_S + 0.5) == (False, True)


def test_an_upgrade_that_finds_no_moment_changes_nothing_and_newer_code_says_what_to_run(
    agentflow_database_url: str, release: Path
) -> None:
    with (
        holding(agentflow_database_url, "agent_steps"),
        pytest.raises(DatabaseUnavailable, match="'shelf' found no moment without locks on its tables"),
    ):
        schema.upgrade(agentflow_database_url, "agentflow", patience_s=1.0)

    with pytest.raises(SchemaOutdated, match="at '0005', behind 'no_shelf': run `agentflow db upgrade`"):
        schema.check(agentflow_database_url, "agentflow")


def test_two_upgrades_at_once_run_each_revision_once(agentflow_database_url: str, release: Path) -> None:
    start = threading.Barrier(3)

    def upgrade() -> str:
        start.wait()
        return schema.upgrade(agentflow_database_url, "agentflow")

    with ThreadPoolExecutor(3) as threads:
        done = [threads.submit(upgrade) for _ in range(3)]

    assert {each.result() for each in done} == {"no_shelf"}


def says(migrations: Path, revision: str, more: str) -> None:
    """Have a revision say more, as its author would have written it."""
    file = migrations / "versions" / f"{revision}.py"
    file.write_text(file.read_text(encoding="utf-8") + more, encoding="utf-8")
    shutil.rmtree(migrations / "versions" / "__pycache__", ignore_errors=True)


@contextmanager
def holding(url: str, table: str) -> Iterator[Connection]:
    """Hold a lock on a table that any change of it waits for, and no statement of a worker's does."""
    with probe_engine(url).connect() as connection:
        connection.execute(text(f"lock table agentflow.{table} in access share mode"))
        yield connection


def waits(url: str) -> bool:
    query = text("select exists (select from pg_locks where not granted and mode = 'AccessExclusiveLock')")
    with probe_engine(url).connect() as connection:
        return bool(connection.execute(query).scalar_one())


def read_s(url: str) -> float:
    """Return how long a read of the steps takes."""
    with probe_engine(url).connect() as connection:
        began = time.monotonic()
        connection.execute(text("select count(*) from agentflow.agent_steps"))
        return time.monotonic() - began
