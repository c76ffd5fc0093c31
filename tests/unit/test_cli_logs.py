"""The log lines of a process."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from agentflow.telemetry.logs import configure_logging
from agentflow.telemetry.redaction import without_passwords


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_line_of_ours_is_json_with_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", json=True)
    structlog.get_logger("agentflow.sweeper").warning("attempt_lost", step_index=3)
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["step_index"], line["level"]) == ("attempt_lost", 3, "warning")
    assert line["logger"] == "agentflow.sweeper"
    assert line["timestamp"].endswith("Z")


def test_line_of_a_library_has_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", json=True)
    logging.getLogger("celery.apps.worker").info("%s ready.", "models@host")
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["level"], line["logger"]) == ("models@host ready.", "info", "celery.apps.worker")


@pytest.mark.parametrize(("level", "lines"), [("INFO", ["raised"]), ("DEBUG", ["succeeded", "raised"])])
def test_tasks_that_end_well_are_told_of_to_the_curious_alone(
    capsys: pytest.CaptureFixture[str], level: str, lines: list[str]
) -> None:
    configure_logging(level, json=True)

    logging.getLogger("celery.app.trace").info("succeeded")
    logging.getLogger("celery.app.trace").error("raised")

    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == lines


def test_console_line_is_for_a_person_and_plain_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", json=False)
    structlog.get_logger("agentflow.worker").info("worker_started", pool="models")
    line = capsys.readouterr().err
    assert line.rstrip().endswith("[info] worker_started pool=models")
    assert "\x1b" not in line


def test_pipe_gets_json_unless_told_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO")
    structlog.get_logger().info("hello")
    assert json.loads(capsys.readouterr().err)["event"] == "hello"


def test_level_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("WARNING", json=True)
    structlog.get_logger("agentflow").info("quiet")
    logging.getLogger("celery").info("quiet")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("form", ["json", "console"])
def test_password_in_an_exception_is_not_logged(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", json=form == "json")
    try:
        int("redis://:hunter2@cache:6379/0")
    except ValueError:
        structlog.get_logger("agentflow").exception("failed", url="postgresql://me:hunter2@db/app")
    written = capsys.readouterr().err
    assert "hunter2" not in written
    assert "redis://:***@cache:6379/0" in written


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql+psycopg2://me:p%40ss@db:5432/app", "postgresql+psycopg2://me:***@db:5432/app"),
        ("https://example.com/a:b@c", "https://example.com/a:b@c"),
        ("no url at all: me:pw@host", "no url at all: me:pw@host"),
        ("two redis://:a@x and redis://:b@y", "two redis://:***@x and redis://:***@y"),
    ],
)
def test_passwords_of_urls_are_replaced(text: str, shown: str) -> None:
    assert without_passwords(text) == shown
