from __future__ import annotations

import re
from pathlib import Path

import pytest

from agentflow.store import statements
from agentflow.store.parameters import TYPES
from agentflow.store.statements import Statements

FOLDER = Path(statements.__file__).parent / "sql"
HEADS = [
    (path.name, *line.removeprefix("-- ").replace(" (prepared)", "", 1).split(": ", 1))
    for path in sorted(FOLDER.glob("*.sql"))
    for line in path.read_text(encoding="utf-8").splitlines()
    if line.startswith("-- ")
]
PACKAGE = Path(statements.__file__).parents[1]


def test_every_comment_in_the_sql_is_the_head_of_a_statement() -> None:
    assert {name for _, name, _ in HEADS} == set(Statements.load("agentflow").by_name)


def test_no_two_statements_have_one_name() -> None:
    names = [name for _, name, _ in HEADS]

    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize(("file", "name", "purpose"), HEADS, ids=[name for _, name, _ in HEADS])
def test_a_statement_has_a_purpose_and_is_used(file: str, name: str, purpose: str) -> None:
    used = any(f'"{name}"' in path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))

    assert purpose, f"{file}: {name}"
    assert used, f"{file}: nothing runs {name}"


def test_what_is_prepared_has_its_parameters_by_place() -> None:
    prepared = Statements.load("mine").prepared["hold_run"]

    assert prepared.definition.startswith('prepare hold_run (uuid) as select from "mine".agent_runs')
    assert (prepared.call, prepared.parameters) == ("execute hold_run (%s)", ("run_id",))


def test_every_type_of_a_parameter_is_used() -> None:
    used = {name for prepared in Statements.load("mine").prepared.values() for name in prepared.parameters}

    assert used == set(TYPES)


def test_statements_are_written_for_their_schema() -> None:
    text = Statements.load("Mine").by_name["lock_run"]

    assert 'from "Mine".agent_runs' in text
    assert not re.search(r"\{\w+\}", text)
