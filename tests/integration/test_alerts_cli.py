"""`agentflow alerts` lists what a person had to see, for people and for machines."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agentflow.store.alerts import raise_alert
from agentflow.testing import Harness
from tests.integration.cli_commands import Project

RUN = "01a203c4-30b2-70db-b23c-5b03044fcb4e"


@pytest.fixture
def project(agentflow: Harness, tmp_path: Path) -> Project:
    return Project.of(tmp_path / "project", AGENTFLOW_DATABASE_URL=agentflow.database.url)


@pytest.fixture
def alerts(agentflow: Harness) -> None:
    def note(cause: str, message: str, *, topic: str | None = None, run_id: str | None = None) -> None:
        agentflow.database.atomically(lambda tx: raise_alert(tx, "default", cause, message, topic=topic, run_id=run_id))

    note("unserved:shop:pay", "nobody serves 'pay'")
    note(f"bug:{RUN}:3", "'pay' raised\nKeyError: \x1b[31m'total'", topic="bug:pay", run_id=RUN)
    note("unserved:shop:pay", "nobody serves 'pay' yet")
    with agentflow.database.transaction() as tx:
        tx.connection.exec_driver_sql(
            "update agentflow.alerts set last_at = last_at - interval '3 hours' where topic = 'bug:pay'"
        )


@pytest.mark.usefixtures("alerts")
def test_alerts_are_listed_with_their_age_times_topic_message_and_run(project: Project) -> None:
    listed = project.run("alerts", COLUMNS="140").stdout.splitlines()

    assert [line.split() for line in listed[:1]] == [["when", "times", "topic", "message", "run"]]
    assert re.fullmatch(r"[0-9] s ago +2 +unserved:shop:pay +nobody serves 'pay' yet", listed[1].strip())
    assert listed[2].split()[:5] == ["3", "h", "ago", "1", "bug:pay"]
    assert (RUN in listed[2], "\x1b" in listed[2]) == (True, False)


@pytest.mark.usefixtures("alerts")
def test_alerts_are_json_for_machines_the_newest_first_and_as_many_as_are_asked_for(project: Project) -> None:
    assert [alert["topic"] for alert in project.read("alerts")] == ["unserved:shop:pay", "bug:pay"]
    assert [alert["count"] for alert in project.read("alerts", "--limit", "1")] == [2]


@pytest.mark.usefixtures("alerts")
def test_alerts_are_listed_since_a_time(project: Project) -> None:
    assert [alert["topic"] for alert in project.read("alerts", "--since", "1h")] == ["unserved:shop:pay"]


def test_no_alerts_are_no_error(project: Project) -> None:
    listed = project.run("alerts")

    assert (listed.returncode, listed.stdout, listed.stderr.strip()) == (0, "", "no alerts")


def test_a_time_that_is_none_is_wrong_use(project: Project) -> None:
    refused = project.run("alerts", "--since", "soon")

    assert refused.returncode == 2
    assert "--since='soon' is no time: give 30m, 12h, 7d" in refused.stderr
