"""Partitions: what grows with runs is kept apart by the time in their ids, so that deleting a month is dropping tables.

The tables that there are become the first partitions, with no row rewritten. All that reads much is done beforehand, in
transactions of its own, beside those who use the tables; what is left for the last one is quick. Each part finds what
an earlier try has done already.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from alembic import op

from agentflow.domain.errors import ConfigError

revision = "0005"
down_revision = "0004"

# In the order in which everybody locks them.
_TABLES = (
    "agent_runs",
    "agent_steps",
    "attempts",
    "model_calls",
    "transitions",
    "outbox",
    "approvals",
    "interventions",
)
# The unique keys of a partitioned table have to hold what it is partitioned by.
_KEYS = {
    "transitions": "run_id, id",
    "interventions": "run_id, id",
    "outbox": "message_id, run_id",
    "approvals": "approval_id, run_id",
}
# Rows of these change several times, and each change is one of their indexes' too.
_UPDATED = ("agent_runs", "agent_steps")
_COUNTED = ("transitions", "interventions")
# A constraint that an upgrade left behind, and nobody took up again, must not meet the ids that it is to keep out.
_NOTICE = timedelta(days=7)
_FARTHEST = timedelta(days=3660)
_PAGE = 10_000
# A concurrent index waits for everybody's transactions and stands in nobody's way.
_PATIENCE = "60s"


def upgrade() -> None:
    """Put partitioned tables in the place of the plain ones, which become their first partitions."""
    _refuse_references()
    bound = _first_bound()
    suffix = f"before_{bound:%Y_%m}"
    with op.get_context().autocommit_block():
        _keep_run_keys()
        with _waiting_longer():
            _prepare_keys()
        for table in _TABLES:
            _keep_below(table, suffix, _id_at(bound))
    op.execute(f"lock table {', '.join(_TABLES)} in access exclusive mode")
    op.execute("drop trigger keep_run_key on agent_runs")
    op.execute("alter table agent_steps drop constraint agent_steps_run_id_fkey")
    op.execute("drop index agent_runs_idempotency_key, transitions_by_run, interventions_by_run")
    for table in _TABLES:
        _replace(table, suffix, _id_at(bound))
    op.execute(_TRIGGER)
    op.execute(_TOOL_CALLS)
    op.execute(_LLM_CALLS)


def _refuse_references() -> None:
    """Refuse what somebody else's tables would hold fast: a reference would go along with the first partition."""
    query = """
        select c.conname, c.conrelid::regclass::text from pg_constraint c
        where c.contype = 'f' and c.confrelid = to_regclass(:name) and c.conrelid <> to_regclass('agent_steps')
    """
    for table in _TABLES:
        for name, of_table in _rows(query, name=table):
            raise ConfigError(
                f"{name!r} of the table {of_table!r} refers to {table!r}, whose months are to be dropped: "
                "drop the constraint, and upgrade again"
            )


def _first_bound() -> datetime:
    """Return the first month that is new to everybody: its ids are neither there nor made before it begins."""
    newest = _rows("select run_id from agent_runs order by run_id desc limit 1")
    now = datetime.now(UTC)
    latest = max([now + _NOTICE, *(_moment_of(row[0]) for row in newest)])
    if latest > now + _FARTHEST:
        raise ConfigError(f"the run {newest[0][0]} has an id whose time is years ahead: delete it, and upgrade again")
    return (latest.replace(day=1, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=32)).replace(day=1)


def _moment_of(run_id: object) -> datetime:
    # The largest of random ids lie beyond the last year of a datetime.
    milliseconds = min(uuid.UUID(str(run_id)).int >> 80, 250_000_000_000_000)
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _id_at(moment: datetime) -> str:
    return str(uuid.UUID(int=int(moment.timestamp() * 1000) << 80))


def _keep_run_keys() -> None:
    """Keep the submissions' keys apart: no index is unique over partitions. Filled beneath those who submit."""
    op.execute("""
        create table if not exists run_keys (
            tenant text default 'default' not null, idempotency_key text not null, run_id uuid not null,
            primary key (tenant, idempotency_key)
        )
    """)
    op.execute("""
        create table if not exists messages_leaving (
            tenant text default 'default' not null, hash bytea not null, parent bytea, body json,
            created_at timestamp with time zone, primary key (tenant, hash)
        )
    """)
    op.execute(_KEEP_RUN_KEY)
    if not _rows("select 1 from pg_trigger where tgname = 'keep_run_key' and tgrelid = 'agent_runs'::regclass"):
        op.execute(_TRIGGER)
    last: object = uuid.UUID(int=0)
    while last is not None:
        [(last,)] = _rows(_COPY_KEYS, last=str(last), page=_PAGE)


# Whoever submits runs this, whatever release's statement it does so by: a key that is taken makes it insert nothing.
# The row is locked by a statement of its own, so that the next one sees what its holder has committed.
_KEEP_RUN_KEY = """
    create or replace function keep_run_key() returns trigger language plpgsql security definer
    set search_path from current as $$
    begin
        insert into run_keys (tenant, idempotency_key, run_id) values (new.tenant, new.idempotency_key, new.run_id)
        on conflict do nothing;
        if found then
            return new;
        end if;
        perform from run_keys k where k.tenant = new.tenant and k.idempotency_key = new.idempotency_key for update;
        update run_keys k set run_id = new.run_id
        where k.tenant = new.tenant and k.idempotency_key = new.idempotency_key
            and not exists (select from agent_runs r where r.run_id = k.run_id);
        if found then
            return new;
        end if;
        return null;
    end $$
"""

_TRIGGER = """
    create trigger keep_run_key before insert on agent_runs
    for each row when (new.idempotency_key is not null) execute function keep_run_key()
"""

# The runs know better than a key that was written for a submission which their unique index refused then.
_COPY_KEYS = """
    with page as (
        select run_id, tenant, idempotency_key from agent_runs
        where run_id > cast(:last as uuid) order by run_id limit :page
    ), copied as (
        insert into run_keys (tenant, idempotency_key, run_id)
        select tenant, idempotency_key, run_id from page where idempotency_key is not null
        order by tenant, idempotency_key
        on conflict (tenant, idempotency_key) do update set run_id = excluded.run_id
        where run_keys.run_id <> excluded.run_id
    )
    select (select run_id from page order by run_id desc limit 1)
"""


@contextmanager
def _waiting_longer() -> Iterator[None]:
    [(before,)] = _rows("show lock_timeout")
    op.execute(f"set lock_timeout = '{_PATIENCE}'")
    try:
        yield
    finally:
        op.execute(f"set lock_timeout = '{before}'")


def _prepare_keys() -> None:
    for table, columns in _KEYS.items():
        _build(f"unique index {table}_key", table, f"({columns})")
    _build(
        "index agent_runs_by_key",
        "agent_runs",
        "(tenant, idempotency_key) where idempotency_key is not null",
    )


def _build(what: str, table: str, columns: str) -> None:
    """Build an index beneath those who use the table, unless it is there; one that a try left unfinished is not."""
    name = what.rsplit(maxsplit=1)[-1]
    found = _rows("select indisvalid from pg_index where indexrelid = to_regclass(:name)", name=name)
    if found and not found[0][0]:
        op.execute(f"drop index concurrently {name}")
    if not found or not found[0][0]:
        op.execute(f"create {what.replace(name, f'concurrently {name}')} on {table} {columns}")


def _keep_below(table: str, suffix: str, bound: str) -> None:
    """Prove that a table's rows are below the first bound: attaching it looks at none of them then."""
    name = f"{table}_{suffix}"
    query = """
        select conname from pg_constraint
        where conrelid = to_regclass(:name) and contype = 'c' and starts_with(conname, :prefix) and conname <> :new
    """
    for (earlier,) in _rows(query, name=table, prefix=f"{table}_before_", new=name):
        op.execute(f'alter table {table} drop constraint "{earlier}"')
    if not _rows(
        "select 1 from pg_constraint where conrelid = to_regclass(:name) and conname = :new", name=table, new=name
    ):
        op.execute(f"alter table {table} add constraint {name} check (run_id < '{bound}') not valid")
    op.execute(f"alter table {table} validate constraint {name}")


def _replace(table: str, suffix: str, bound: str) -> None:
    """Rename a table, make a partitioned one in its place with the same columns, keys and grants, and attach it."""
    old = f"{table}_{suffix}"
    if table in _KEYS:
        op.execute(
            f"alter table {table} drop constraint {table}_pkey, "
            f"add constraint {table}_pkey primary key using index {table}_key"
        )
    definitions = _definitions(table)
    _rename(table, old)
    op.execute(f"create table {table} (like {old} including defaults including storage) partition by range (run_id)")
    _count_on(table, old)
    for definition in definitions:
        op.execute(definition)
    _grant_again(old, table)
    op.execute(f"alter table {table} attach partition {old} for values from (minvalue) to ('{bound}')")
    op.execute(f"create table {table}_default partition of {table} default")
    op.execute(f"alter table {old} drop constraint {old}")
    if table in _UPDATED:
        for partition in (old, f"{table}_default"):
            op.execute(f"alter table {partition} set (autovacuum_vacuum_scale_factor = 0.05)")


def _definitions(table: str) -> list[str]:
    """Return what makes a table's keys and indexes, while it has its name."""
    keys = _rows(
        "select format('alter table %I add constraint %I %s', cast(:name as text), conname, pg_get_constraintdef(oid)) "
        "from pg_constraint where conrelid = to_regclass(:name) and contype in ('p', 'u') order by conname",
        name=table,
    )
    indexes = _rows(
        "select pg_get_indexdef(i.indexrelid) from pg_index i where i.indrelid = to_regclass(:name) "
        "and not exists (select from pg_constraint c where c.conindid = i.indexrelid and c.conrelid = i.indrelid) "
        "order by i.indexrelid::regclass::text",
        name=table,
    )
    return [row[0] for row in (*keys, *indexes)]


def _rename(table: str, new: str) -> None:
    query = """
        select c.relname from pg_class c join pg_index i on i.indexrelid = c.oid
        where i.indrelid = to_regclass(:name)
    """
    for (index,) in _rows(query, name=table):
        op.execute(f'alter index "{index}" rename to "{new}_{index.removeprefix(f"{table}_")}"')
    op.execute(f"alter table {table} rename to {new}")


def _count_on(table: str, old: str) -> None:
    """Go on with the numbers where they were: a partition has none of its own."""
    if table in _COUNTED:
        [(last,)] = _rows(f"select nextval(pg_get_serial_sequence('{old}', 'id'))")
        op.execute(f"alter table {old} alter id drop identity")
        op.execute(f"alter table {table} alter id add generated always as identity (start with {last + 1})")


def _grant_again(old: str, table: str) -> None:
    """Let everybody do to the new table what they may to the old one; and see the keys, who may see the runs."""
    query = """
        select a.privilege_type, case when a.grantee = 0 then 'public' else a.grantee::regrole::text end, a.is_grantable
        from pg_class c, aclexplode(c.relacl) a
        where c.oid = to_regclass(:name) and a.grantee <> c.relowner
    """
    granted = _rows(query, name=old)
    for privilege, grantee, is_grantable in granted:
        option = " with grant option" if is_grantable else ""
        op.execute(f"grant {privilege} on {table} to {grantee}{option}")
        if table == "agent_runs" and privilege == "SELECT":
            op.execute(f"grant select on run_keys to {grantee}{option}")


def _rows(query: str, **parameters: Any) -> list[Any]:
    return list(op.get_bind().execute(sa.text(query), parameters))


# The views went along with the tables that they were made on.
_TOOL_CALLS = """
    create or replace view tool_calls as
    select a.tenant, a.run_id, a.step_index, s.tool_name as tool, s.tool_input as input,
        case when a.attempt = s.attempt then s.tool_output end as output, a.status, a.attempt, a.latency_ms,
        s.idempotency_key, a.error, a.late_result, a.started_at
    from attempts a
    join agent_steps s on s.run_id = a.run_id and s.step_index = a.step_index
    where s.tool_name not in ('model', 'approval', 'verify', 'compensate', 'question')
"""

_LLM_CALLS = """
    create or replace view llm_calls as
    select c.tenant, c.run_id, c.step_index, c.attempt, c.model, c.response_model, c.prompt_tokens, c.completion_tokens,
        c.cost_usd as cost, c.latency_ms, prompt_messages(c.tenant, c.prompt_head) as prompt, c.response,
        c.response -> 'tool_calls' as tool_calls, c.finish_reason, c.created_at, c.error
    from model_calls c
"""
