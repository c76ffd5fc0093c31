from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agentflow.llm.scripted import ScriptedCall, ScriptedCalls
from agentflow.store.statements import Statements
from agentflow.store.tables import metadata
from bench.growth.agents import answers
from bench.growth.indexes import numbered
from bench.growth.months import partitions
from bench.growth.tables import Updates, changed
from bench.loads import __doc__ as loads
from bench.loads.agents import PROMPT_BYTES
from bench.loads.copying import copy_statement
from bench.loads.prompts import prompt
from bench.loads.shape import copied_columns, filled_tables

TABLES = {table.name: table for table in filled_tables()}


@pytest.mark.parametrize("steps", [1, *range(3, 13)])
def test_a_model_answers_so_that_a_run_has_as_many_steps_as_asked_for(steps: int) -> None:
    given = answers(steps)

    asked = sum(len(each.calls) for each in given if isinstance(each, ScriptedCalls))
    asked += sum(isinstance(each, ScriptedCall) for each in given)

    assert len(given) + asked == steps


def test_every_table_in_which_a_run_leaves_rows_is_filled() -> None:
    with_runs = {name for name, table in metadata.tables.items() if "run_id" in table.c}

    assert set(TABLES) == with_runs | {"messages"}


@pytest.mark.parametrize("name", TABLES)
def test_a_copy_is_given_every_column_that_the_database_does_not_number_itself(name: str) -> None:
    columns = copied_columns(TABLES[name])

    assert set(columns) == {column.name for column in TABLES[name].columns if column.identity is None}
    assert f"insert into {name} (" in copy_statement(TABLES[name])


def test_a_copy_is_a_run_of_its_own_at_a_time_of_its_own() -> None:
    columns = copied_columns(TABLES["agent_steps"])

    assert columns["run_id"] == "n.run_id"
    assert columns["created_at"] == "t.created_at - n.ago"
    assert "n.run_id" in columns["idempotency_key"]
    assert columns["tool_input"] == "t.tool_input"


def test_a_parameter_that_stands_twice_in_a_statement_has_one_number() -> None:
    assert numbered("a = %(x)s or b = %(y)s or c = %(x)s") == "a = $1 or b = $2 or c = $1"


def test_a_percent_sign_that_is_no_parameter_stays_one() -> None:
    assert numbered("reason like 'retry%%' and n = %(n)s") == "reason like 'retry%' and n = $1"


@pytest.mark.parametrize("name", Statements.load("agentflow").by_name)
def test_no_statement_keeps_a_parameter_of_the_driver(name: str) -> None:
    assert not re.search(r"%[(s]", numbered(Statements.load("agentflow")[name]))


def test_what_changed_is_the_difference_of_two_counts_and_leaves_out_what_rests() -> None:
    before = {"agent_runs": Updates(10, 100, 50), "holds": Updates(1, 0, 0)}
    after = {"agent_runs": Updates(12, 140, 60), "holds": Updates(1, 0, 0), "attempts": Updates(5, 0, 0)}

    found = changed(before, after)

    assert found == {"agent_runs": Updates(2, 40, 10), "attempts": Updates(5, 0, 0)}
    assert found["agent_runs"].hot_share == pytest.approx(0.25)


def test_the_months_of_the_past_leave_no_gap_up_to_where_the_next_partition_begins() -> None:
    first, until = datetime(2025, 11, 23, 3, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)

    found = list(partitions(first, until))
    ids = [re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", bounds) for _, bounds in found]

    assert [name for name, _ in found][:3] == ["before_2025_11", "2025_11", "2025_12"]
    assert len(found) == 15
    assert [begin for begin, _ in ids[1:]] == [ends[-1] for ends in ids[:-1]]


def test_each_run_has_a_prompt_of_its_own_and_of_the_size_that_is_said() -> None:
    assert len(prompt(1).encode()) == len(prompt(2).encode()) == PROMPT_BYTES
    assert prompt(1) != prompt(2)


def test_each_load_that_is_listed_can_be_taken() -> None:
    listed = set(re.findall(r"^(\w+\.py) ", loads or "", re.MULTILINE))
    folder = Path(__file__).parents[2] / "bench" / "loads"

    takeable = {path.name for path in folder.glob("*.py") if "def measure(folder" in path.read_text(encoding="utf-8")}

    assert listed == takeable
