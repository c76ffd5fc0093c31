"""Group 8, what can be read: every row, and none of the secrets, and no row that belongs to another tenant's run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from tests.checker.evidence import Evidence, Violation
from tests.checker.records import Records, Row, parse
from tests.checker.redis_values import redis_texts

GROUP = 8

_COLUMNS = """
    select c.table_name, c.column_name, c.data_type from information_schema.columns c
    join information_schema.tables t on t.table_schema = c.table_schema and t.table_name = c.table_name
    join pg_namespace n on n.nspname = t.table_schema
    join pg_class r on r.relnamespace = n.oid and r.relname = t.table_name
    where c.table_schema = %(schema)s and t.table_type = 'BASE TABLE' and not r.relispartition
    order by c.table_name, c.ordinal_position
"""

_KEYS = """
    select t.relname as table_name, string_agg(a.attname, ',' order by p.place) as columns
    from pg_index i
    join pg_class t on t.oid = i.indrelid
    join pg_namespace n on n.oid = t.relnamespace
    cross join lateral unnest(i.indkey) with ordinality p (number, place)
    join pg_attribute a on a.attrelid = t.oid and a.attnum = p.number
    where n.nspname = %(schema)s and i.indisprimary
    group by t.relname
"""

_OF_RUNS = (
    "agent_steps",
    "attempts",
    "model_calls",
    "transitions",
    "idempotency_records",
    "outbox",
    "approvals",
    "interventions",
    "alerts",
)

_CROSSING = """
    select x.run_id, x.tenant, r.tenant as of_run from {schema}.%s x
    join {schema}.agent_runs r on r.run_id = x.run_id
    where x.tenant <> r.tenant
"""

_ELSEWHERE = """
    select 'conversation ' || c.conversation_id as subject, c.tenant, r.tenant as of_run from {schema}.conversations c
    join {schema}.agent_runs r on r.run_id = c.turn_run_id
    where c.tenant <> r.tenant
    union all
    select 'run ' || r.run_id, r.tenant, f.tenant from {schema}.agent_runs r
    join {schema}.agent_runs f on f.run_id = r.forked_from
    where r.tenant <> f.tenant
"""

_LOST_PROMPTS = """
    select c.run_id, c.step_index, c.tenant from {schema}.model_calls c
    left join {schema}.messages m on m.tenant = c.tenant and m.hash = c.prompt_head
    where c.prompt_head is not null and m.hash is null
    union all
    select null, null, m.tenant from {schema}.messages m
    left join {schema}.messages p on p.tenant = m.tenant and p.hash = m.parent
    where m.parent is not null and p.hash is null
"""


def check_reading(records: Records, evidence: Evidence) -> Iterator[Violation]:
    """Read every row of every table, the logs and pages, and Redis."""
    columns: dict[str, list[Row]] = defaultdict(list)
    for row in records.rows(_COLUMNS, schema=records.schema):
        columns[row["table_name"]].append(row)
    keys = {row["table_name"]: row["columns"].split(",") for row in records.rows(_KEYS, schema=records.schema)}
    for table, of_table in columns.items():
        yield from _table(records, evidence, table, of_table, keys.get(table) or [of_table[0]["column_name"]])
    yield from _crossings(records)
    yield from _told(evidence)


def _table(
    records: Records, evidence: Evidence, table: str, columns: Sequence[Row], key: Sequence[str]
) -> Iterator[Violation]:
    shown = ", ".join(f'"{row["column_name"]}"::text as "{row["column_name"]}"' for row in columns)
    is_json = {row["column_name"]: row["data_type"] in ("json", "jsonb") for row in columns}
    for row in records.rows(f'select {shown} from {{schema}}."{table}"'):
        subject = f"{table} {'/'.join(str(row[name]) for name in key)}"
        yield from (Violation(GROUP, subject, what) for what in _row(row, is_json, evidence.canaries))


def _row(row: Row, is_json: Mapping[str, bool], canaries: Sequence[str]) -> Iterator[str]:
    for name, stored in row.items():
        if stored is None:
            continue
        if any(canary in stored for canary in canaries):
            yield f"holds a secret in {name!r}"
        if is_json[name]:
            try:
                parse(stored)
            except ValueError as error:
                yield f"cannot be read: {name!r}: {error}"


def _crossings(records: Records) -> Iterator[Violation]:
    for table in _OF_RUNS:
        for row in records.rows(_CROSSING % table):
            what = f"belongs to {row['of_run']!r}, and has a row of {row['tenant']!r} in {table}"
            yield Violation(GROUP, f"run {row['run_id']}", what)
    for row in records.rows(_ELSEWHERE):
        yield Violation(GROUP, row["subject"], f"of {row['tenant']!r} belongs to a run of {row['of_run']!r}")
    for row in records.rows(_LOST_PROMPTS):
        subject = f"run {row['run_id']} step {row['step_index']}" if row["run_id"] else f"messages of {row['tenant']}"
        yield Violation(GROUP, subject, "has a prompt of which its own tenant lacks a message")


def _told(evidence: Evidence) -> Iterator[Violation]:
    for path in evidence.texts:
        text = path.read_bytes()
        for canary in evidence.canaries:
            if canary.encode() in text:
                yield Violation(GROUP, str(path), "holds a secret")
    if evidence.redis_url is not None and evidence.canaries:
        for key, texts in redis_texts(evidence.redis_url):
            if any(canary in text for canary in evidence.canaries for text in (key, *texts)):
                yield Violation(GROUP, f"redis {key}", "holds a secret")
