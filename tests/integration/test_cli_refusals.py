"""What is refused: one clear line on what is wrong and what to do, an exit code, no traceback, and nothing written."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from agentflow.declare.pipeline import Pipeline
from agentflow.declare.registry import Registry
from agentflow.declare.tool import tool
from agentflow.engine.registration import Registration
from agentflow.local import attach
from agentflow.settings import postgres_url
from agentflow.store import schema
from agentflow.store.database import Database, probe_engine
from tests.integration.cli_commands import Project

ORDER = '{"name": "teapots"}'
UNKNOWN_RUN = "01a203c4-30b2-70db-b23c-5b03044fcb4e"


@tool(effect="read")
def fetch(name: str) -> str:
    return name


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose agent a worker registered that is gone; the services are there, and no worker."""
    folder = tmp_path_factory.mktemp("refusals")
    with attach(folder / ".agentflow") as services:
        url = postgres_url(services.database_url)
        schema.upgrade(url, "agentflow")
        database = Database(url)
        nightly = Pipeline("nightly", [fetch], input=dict[str, str])
        registration = Registration(
            "0f6f8a52-3d0e-4b6a-9d0c-6f3f5f0e7a11", "default", nightly.queues, Registry.of([nightly])
        )
        registration.write(database)
        database.atomically(lambda tx: tx.run("stop_worker", worker_id=registration.worker_id))
        yield Project.of(
            folder,
            AGENTFLOW_DATABASE_URL=url,
            AGENTFLOW_REDIS_URL=services.redis_url,
            AGENTFLOW_AGENTS="nightly_agents",
        )
        database.close()


def runs_written(project: Project) -> int:
    engine = probe_engine(project.settings["AGENTFLOW_DATABASE_URL"])
    with engine.connect() as connection:
        return int(connection.execute(text("select count(*) from agentflow.agent_runs")).scalar_one())


def refusal(project: Project, *arguments: str, code: int = 2, stdin: str = "", **settings: str) -> str:
    """Return the one line that a refused command writes."""
    refused = project.run(*arguments, stdin=stdin, **settings)
    assert (refused.returncode, refused.stdout) == (code, ""), refused.stderr
    [line] = refused.stderr.splitlines()
    assert line.startswith("agentflow: ")
    return line


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("submit", "nobody", ORDER), "no worker has registered an agent 'nobody'; registered: 'nightly'"),
        (("submit", "nightly", "{name: teapots}"), "no JSON: Expecting property name"),
        (("submit", "nightly", '{"name": 3}'), "does not fit its schema: name: 3 is not of type 'string'"),
        (("submit", "nightly", "@nowhere.json"), "'@nowhere.json' names a file that cannot be read"),
        (("submit", "nightly", ORDER, "--not-before", "soon"), "--not-before='soon' is no time"),
        (("submit", "nightly", ORDER, "--user", ""), "user='': give a str of 1 to 500 printable characters"),
        (("runs", "show", "abc"), "'abc' is no run id"),
        (("runs", "list", "--status", "over"), "--status='over' is no status; give one of pending, running"),
        (("worker", "nope"), "there is no worker pool 'nope'; there are 'default', 'models', 'quarantine'"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else "",
)
def test_wrong_use_is_refused_in_one_line(project: Project, arguments: tuple[str, ...], says: str) -> None:
    assert says in refusal(project, *arguments)
    assert runs_written(project) == 0


def test_input_over_the_limit_is_refused_with_the_limit(project: Project) -> None:
    line = refusal(
        project, "submit", "nightly", "-", stdin='{"name": "%s"}' % ("x" * 300), AGENTFLOW_MAX_INPUT_BYTES="100"
    )
    assert "the limit is 100 (AGENTFLOW_MAX_INPUT_BYTES)" in line


@pytest.mark.parametrize(
    ("variable", "url", "says"),
    [
        ("AGENTFLOW_DATABASE_URL", "mysql://me:secret@db/app", "write it as postgresql://"),
        ("AGENTFLOW_DATABASE_URL", "postgresql://db:99999/app", "its port is no number"),
        ("AGENTFLOW_REDIS_URL", "http://:secret@cache", "write it as redis://"),
    ],
)
def test_url_that_is_none_is_refused_by_its_variable(project: Project, variable: str, url: str, says: str) -> None:
    line = refusal(project, "runs", "list", **{variable: url})
    assert variable in line
    assert says in line
    assert "secret" not in line


def closed_port() -> int:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        return int(nobody.getsockname()[1])


@pytest.mark.parametrize("arguments", [("submit", "nightly", ORDER), ("worker", "default")])
def test_database_that_is_down_is_said(project: Project, arguments: tuple[str, ...]) -> None:
    url = f"postgresql://me:secret@127.0.0.1:{closed_port()}/app"
    line = refusal(project, *arguments, code=1, AGENTFLOW_DATABASE_URL=url)
    assert "the database" in line
    assert "refused" in line
    assert "secret" not in line


@pytest.mark.parametrize("arguments", [("submit", "nightly", ORDER), ("worker", "default"), ("db", "check")])
def test_database_behind_its_migrations_asks_for_the_upgrade(project: Project, arguments: tuple[str, ...]) -> None:
    assert "agentflow db upgrade" in refusal(project, *arguments, code=1, AGENTFLOW_DB_SCHEMA="elsewhere")


def test_folder_without_a_database_is_not_given_one_by_a_command_that_reads(tmp_path: Path) -> None:
    assert "there is no database in '.agentflow'" in refusal(Project(tmp_path), "runs", "list")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import nowhere_to_be_found", "does not import: ModuleNotFoundError"),
        ("x = (", "SyntaxError: '(' was never closed"),
        ("from agentflow import tool\n@tool()\ndef act(): ...", "@tool needs an effect: read (changes nothing)"),
    ],
    ids=["import", "syntax", "declaration"],
)
def test_agents_module_that_does_not_load_is_refused_with_its_place(project: Project, source: str, says: str) -> None:
    (project.folder / "broken_agents.py").write_text(source, encoding="utf-8")
    line = refusal(project, "worker", "default", AGENTFLOW_AGENTS="broken_agents")
    assert says in line
    assert "broken_agents.py:" in line


def test_check_refuses_what_does_not_load(project: Project) -> None:
    (project.folder / "broken_agents.py").write_text("import nowhere_to_be_found", encoding="utf-8")
    line = refusal(project, "agents", "check", code=1, AGENTFLOW_AGENTS="broken_agents")
    assert "broken_agents.py:1" in line


def test_agents_module_that_is_not_there_is_refused_by_its_name(project: Project) -> None:
    assert "AGENTFLOW_AGENTS names 'nowhere'" in refusal(project, "worker", "default", AGENTFLOW_AGENTS="nowhere")


def test_port_in_use_is_refused(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = refusal(project, "flower", AGENTFLOW_FLOWER_AUTH="me:secret", AGENTFLOW_FLOWER_PORT=port)
    assert line == f"agentflow: port {port} is in use: set AGENTFLOW_FLOWER_PORT to another one"


def test_flower_without_a_password_does_not_start(project: Project) -> None:
    assert "AGENTFLOW_FLOWER_AUTH" in refusal(project, "flower", AGENTFLOW_FLOWER_PORT=str(closed_port()))


def test_unknown_run_is_said(project: Project) -> None:
    assert f"there is no run '{UNKNOWN_RUN}'" in refusal(project, "runs", "show", UNKNOWN_RUN, code=1)


def test_run_that_nobody_serves_is_said_and_waited_for(project: Project) -> None:
    waited = project.run("submit", "nightly", ORDER, "--wait", "--timeout", "3", AGENTFLOW_TENANT="elsewhere")
    assert waited.returncode == 3
    said, goes_on = waited.stderr.splitlines()
    assert "no worker serves queue 'tool.fetch'" in said
    assert "is pending after 3.0 s; it goes on" in goes_on


def test_doctor_fails_where_the_database_is_down(project: Project) -> None:
    url = f"postgresql://me:secret@127.0.0.1:{closed_port()}/app"
    looked = project.run("doctor", AGENTFLOW_DATABASE_URL=url)
    assert looked.returncode == 1
    assert any(line.startswith("fail") and "database" in line for line in looked.stdout.splitlines())
    assert "secret" not in looked.stdout + looked.stderr


def test_doctor_warns_of_queues_that_nobody_serves(project: Project) -> None:
    looked = project.run("doctor")
    assert looked.returncode == 0
    assert "none is alive" in looked.stdout


def test_check_says_how_each_tool_is_run(project: Project) -> None:
    checked = project.run("agents", "check")
    assert checked.returncode == 0
    for part in ("nightly", "fetch", "read", "10 s", "default", "everything can be served"):
        assert part in checked.stdout
