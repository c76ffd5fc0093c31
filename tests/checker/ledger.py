"""Group 1, what was done in the database itself: one row in the ledger for each transactional step that is ok."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from tests.checker.evidence import Evidence, Violation
from tests.checker.records import Records, Row, step_of

GROUP = 1

_TRANSACTIONAL = """
    select s.run_id, s.step_index, s.status,
        s.idempotency_key || case when s.key_generation > 1 then '#' || s.key_generation else '' end as sent_key,
        exists (select from {schema}.attempts a
            where a.run_id = s.run_id and a.step_index = s.step_index and a.status = 'ok') as is_answered
    from {schema}.agent_steps s
    where s.effect = 'transactional'
"""


def check_ledger(records: Records, evidence: Evidence) -> Iterator[Violation]:
    """Compare the rows that transactional tools wrote with the steps that committed them."""
    if evidence.ledger is None:
        return
    steps = {(row["run_id"], row["step_index"]): row for row in records.rows(_TRANSACTIONAL)}
    written = _ledger(records, evidence.ledger)
    found = Counter((row["run_id"], row["step_index"]) for row in written)
    for row in written:
        step = steps.get((row["run_id"], row["step_index"]))
        if step is None or row["key"] != step["sent_key"]:
            yield Violation(GROUP, step_of(row), f"no transactional step knows the ledger's row {row['key']!r}")
    for place, step in steps.items():
        wanted = int(step["status"] == "ok" and step["is_answered"])
        if found[place] != wanted:
            yield Violation(GROUP, step_of(step), f"is {step['status']} with {found[place]} rows in the ledger")


def _ledger(records: Records, name: str) -> Sequence[Row]:
    [there] = records.rows("select to_regclass(%(name)s) is not null as is_there", name=name)
    if not there["is_there"]:
        return []
    return records.rows(f"select key, run_id::text as run_id, step_index from {name}")
