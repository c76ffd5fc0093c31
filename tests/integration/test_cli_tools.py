"""`agentflow tools` and what else an operator sees of tools that fail, as real commands on real servers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agentflow import Agent, Context, Limits, Pipeline, ToolError, tool
from agentflow.gate.fleet import fleet_gate
from agentflow.gate.redis_gate import RedisGate
from agentflow.local import attach
from agentflow.settings import postgres_url
from agentflow.store import schema
from agentflow.testing import Harness
from tests.integration.cli_commands import Project
from tests.integration.hands import Hands

NOWHERE = "redis://127.0.0.1:1/0"
MODEL = "openai:gpt-4o-mini"


@tool(effect="keyed", name="pay", depends_on="psp", limits=Limits(slots=8))
def pay(ctx: Context) -> str:
    return ctx.idempotency_key


@tool(effect="read")
def look(n: int = 1) -> str:
    if n:
        raise ToolError("Service Unavailable", kind="transient", status=503, happened=False)
    return "seen"


paying = Pipeline("paying", [pay])
looking = Pipeline("looking", [look])
clerk = Agent("clerk", model=MODEL, tools=[look])


@dataclass(frozen=True)
class Fleet:
    """A project on servers of its own, with one worker that registered its agents, moved by hand."""

    project: Project
    hands: Hands
    gate: RedisGate


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    with attach(tmp_path_factory.mktemp("tools")) as services:
        url = postgres_url(services.database_url)
        schema.upgrade(url, "agentflow")
        yield url, services.redis_url


@pytest.fixture
def fleet(servers: tuple[str, str], tmp_path: Path) -> Iterator[Fleet]:
    database_url, redis_url = servers
    project = Project.of(tmp_path / "project", AGENTFLOW_DATABASE_URL=database_url, AGENTFLOW_REDIS_URL=redis_url)
    harness = Harness(database_url)
    fleet = Fleet(project, Hands(harness, paying, looking, clerk), fleet_gate(redis_url, "agentflow", timeout_s=5.0))
    fleet.hands.runtime.gate = fleet.gate
    yield fleet
    fleet.hands.sql("delete from agentflow.holds")
    fleet.gate.close_breaker("psp")
    harness.close()


def listed(project: Project, **settings: str) -> dict[str, str]:
    """Return the lines of `tools list` by the name that each begins with."""
    done = project.run("tools", "list", **settings)
    assert done.returncode == 0, done.stderr
    return {line.split()[0]: line for line in done.stdout.splitlines() if " is paused by " not in line}


def parked(fleet: Fleet, agent: Pipeline | Agent, input: object = None) -> str:
    """Submit a run whose first step is answered by the gate or fails, and return its id."""
    run_id = fleet.hands.begin(agent, input)
    fleet.hands.do(run_id)
    return run_id


def test_tools_and_models_are_listed_with_effect_limits_state_and_slots(fleet: Fleet) -> None:
    lines = listed(fleet.project)

    assert lines["tool"].split() == ["tool", "effect", "timeout", "queue", "served", "by", "state", "slots", "waiting"]
    pay, model = lines["pay"].split(), lines[MODEL].split()
    # In between stands who serves it.
    assert (pay[:5], pay[-3:]) == (["pay", "keyed", "10", "s", "tool.pay"], ["ok", "0/8", "0"])
    assert (model[:5], model[-3:]) == ([MODEL, "model", "60", "s", "model"], ["ok", "0/64", "0"])


def test_pause_is_seen_with_who_since_when_and_why_until_resume(fleet: Fleet) -> None:
    paused = fleet.project.run("tools", "pause", "pay", "--reason", "PSP maintenance", "--by", "ada")
    run_id = parked(fleet, paying)
    seen = fleet.project.run("tools", "list").stdout
    resumed = fleet.project.run("tools", "resume", "pay")

    assert (paused.returncode, resumed.returncode) == (0, 0)
    assert "'pay' is paused: calls that have begun go on" in paused.stdout
    assert "pay is paused by ada since " in seen
    assert ": PSP maintenance" in seen
    assert [line.split()[-3:] for line in seen.splitlines() if line.startswith("pay  ")] == [["paused", "0/8", "1"]]
    assert resumed.stdout == "'pay' goes on\n"
    assert fleet.hands.do(run_id)
    assert fleet.hands.step_row(run_id)["status"] == "ok"


def test_paused_by_this_machines_user_unless_told_otherwise(fleet: Fleet) -> None:
    assert fleet.project.run("tools", "pause", MODEL, "--reason", "too dear", LOGNAME="grace").returncode == 0
    [held] = [each["held"] for each in fleet.project.read("tools", "list") if each["held"]]
    assert (held["bulkhead"], held["held_by"]) == (MODEL, "grace")


def test_open_breaker_is_shown_with_its_time_and_reason_and_closed_by_resume(fleet: Fleet) -> None:
    fleet.gate.hold_open("psp", 3600, "quota")
    run_id = parked(fleet, paying)
    seen = " ".join(fleet.project.run("tools", "list", COLUMNS="160").stdout.split())
    shown = fleet.project.run("runs", "show", run_id).stdout
    resumed = fleet.project.run("tools", "resume", "pay")
    fleet.hands.do(run_id)

    assert "breaker open for 59 min" in seen
    assert "(quota) 0/8 1" in seen
    assert "waits   for pay (step 0): breaker_open for " in shown
    assert resumed.stdout == "the breaker of 'pay' was open (quota) and is closed now\n"
    assert fleet.hands.step_row(run_id)["status"] == "ok"


def test_json_holds_the_hold_and_the_gate_of_each(fleet: Fleet) -> None:
    fleet.project.run("tools", "pause", "pay", "--reason", "maintenance", "--by", "ada")
    found = {each["name"]: each for each in fleet.project.read("tools", "list")}

    assert (found["pay"]["kind"], found[MODEL]["kind"]) == ("tool", "model")
    assert (found["pay"]["held"]["held_by"], found["look"]["held"]) == ("ada", None)
    assert (found["pay"]["gate"]["breaker"], found["pay"]["waiting"]) == ("closed", 0)


def test_resume_of_what_is_neither_paused_nor_broken_says_so(fleet: Fleet) -> None:
    done = fleet.project.run("tools", "resume", "pay")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "'pay' is not paused and its breaker is closed: there is nothing to resume\n"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (
            ("pause", "pya", "--reason", "typo"),
            1,
            (
                f"no worker has registered a tool or a model 'pya'; registered: 'look', '{MODEL}', 'outbox.email', "
                "'outbox.webhook', 'pay'"
            ),
        ),
        (("resume", "pya"), 1, "no worker has registered a tool or a model 'pya'"),
        (("pause", "pay", "--reason", ""), 2, "reason='': give a str of 1 to 500 printable characters"),
        (("pause", "pay"), 2, "Missing option '--reason'"),
    ],
    ids=["unknown to pause", "unknown to resume", "no reason in it", "no reason"],
)
def test_what_cannot_be_done_is_refused_and_nothing_is_paused(
    fleet: Fleet, arguments: tuple[str, ...], code: int, says: str
) -> None:
    refused = fleet.project.run("tools", *arguments)
    assert (refused.returncode, refused.stdout) == (code, "")
    assert says in refused.stderr
    assert fleet.hands.sql("select * from agentflow.holds") == []


def test_without_redis_the_rest_is_listed_and_what_is_missing_is_said(fleet: Fleet) -> None:
    fleet.project.run("tools", "pause", "pay", "--reason", "maintenance")
    done = fleet.project.run("tools", "list", "--json", AGENTFLOW_REDIS_URL=NOWHERE)

    assert done.returncode == 0
    assert "breakers and slots are not shown: The gate's Redis is out of reach" in done.stderr
    assert '"gate": null' in done.stdout
    assert listed(fleet.project, AGENTFLOW_REDIS_URL=NOWHERE)["pay"].split()[-4:] == [
        "paused,",
        "breaker",
        "unknown",
        "0",
    ]


def test_without_redis_a_pause_ends_and_the_breaker_is_left_for_another_time(fleet: Fleet) -> None:
    fleet.project.run("tools", "pause", "pay", "--reason", "maintenance")
    done = fleet.project.run("tools", "resume", "pay", AGENTFLOW_REDIS_URL=NOWHERE)

    assert (done.returncode, done.stdout) == (1, "'pay' goes on\n")
    assert "Redis does not answer, so the breaker of 'pay' stays as it is" in done.stderr
    assert fleet.hands.sql("select * from agentflow.holds") == []


def test_run_shows_of_a_failed_attempt_its_kind_and_when_it_goes_on(fleet: Fleet) -> None:
    run_id = parked(fleet, looking, {"n": 1})
    shown = fleet.project.run("runs", "show", run_id).stdout

    assert "try   1: 503 transient, again in " in shown
    assert "waits   for look (step 0): retry_transient for " in shown
    assert "error" not in shown
